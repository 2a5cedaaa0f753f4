"""What `/v1/runs` takes and gives."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field

from compllm.core.routing import Assignment
from compllm.explain import Explanation
from compllm.journal import RunRow
from compllm.serve.answering import sound
from compllm.serve.dry import DryRun
from compllm.serve.schemas import Body, EndUser, Priority


class RunBody(Body):
    """A question, and how it is to be answered."""

    question: str = Field(min_length=1)
    plan: str | None = Field(None, description="A plan of your own, in the plan language.")
    expert: str | None = Field(None, description="One expert that gets the question as it is.")
    dry_run: bool = Field(default=False, description="Say what would be asked of whom; nothing runs.")
    priority: Priority = Field(0, description="Below 0: everything else goes first. A key's own priority is the most.")
    user: EndUser | None = Field(None, description="Whom you ask for: each gets a fair share of the team.")


class RunStarted(BaseModel):
    """A run that has begun."""

    id: str
    object: Literal["run"] = "run"
    status: Literal["running"] = "running"


class StepView(BaseModel):
    """A step of a plan, and who would answer it."""

    id: int
    text: str
    tag: str | None
    parents: list[int]
    assignment: Assignment


class PlanView(BaseModel):
    """What a dry run found: `plan` is in the plan language, so that it can be edited and given back."""

    object: Literal["plan"] = "plan"
    plan: str
    steps: list[StepView]
    notes: list[str]

    @classmethod
    def of(cls, dry: DryRun) -> Self:
        """Return what a dry run found."""
        steps = [
            StepView(
                id=step.id,
                text=sound(step.display),
                tag=step.tag,
                parents=list(step.parents),
                assignment=dry.assignments[step.id],
            )
            for step in dry.plan.steps
        ]
        return cls(plan=dry.text, steps=steps, notes=list(map(sound, dry.notes)))


class RunSummary(BaseModel):
    """A run in the list; `started_at` is ISO 8601 in UTC."""

    id: str
    object: Literal["run"] = "run"
    status: str
    question: str
    answer: str | None
    reason: str | None
    team: str
    planner: str
    user: str
    started_at: str
    elapsed_s: float

    @classmethod
    def of(cls, row: RunRow) -> Self:
        """Return a row of the journal."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields if name != "object"})


class RunList(BaseModel):
    """Runs, the latest first."""

    object: Literal["list"] = "list"
    data: list[RunSummary]


class RunUsage(BaseModel):
    """The tokens of every call to a model."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class RunView(BaseModel):
    """A run: `explanation` tells how its answer came about, so far; times are seconds since it started."""

    id: str
    object: Literal["run"] = "run"
    status: str
    question: str
    answer: str | None
    reason: str | None
    gaps: list[int]
    usage: RunUsage
    explanation: Explanation

    @classmethod
    def of(cls, run_id: str, status: str, story: Explanation) -> Self:
        """Return a run with its story."""
        prompt, completion = story.prompt_tokens, story.completion_tokens
        return cls(
            id=run_id,
            status=status,
            question=story.question,
            answer=story.answer,
            reason=story.reason,
            gaps=list(story.gaps),
            usage=RunUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion),
            explanation=story,
        )
