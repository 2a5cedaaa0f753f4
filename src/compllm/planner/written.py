"""A planner that has a chat model write the plan, step by step, and repairs or replaces what it cannot use."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing

from compllm.core.plan import SubQuery
from compllm.errors import ExpertError, PlanParseError
from compllm.experts.base import Backend, ChatRequest, Message
from compllm.planner.base import Note, PlanPiece, whole_question
from compllm.planner.language import MAX_STEPS, PlanReader, format_step, grammar
from compllm.planner.rules import split_question, without_announcement
from compllm.planner.schema import SCHEMA, StepObjects

ENDED_EARLY = Note("the model's plan repeated itself or found no end, and was ended there")
_MAX_TOKENS = 1024
# What an adapter is trained to plan with, and how far its plans go: they copy the question and add little.
_PLAN = "Plan."
_ADDED_TOKENS = 128
_INSTRUCTIONS = """\
You split a question into the fewest steps that specialists can answer one by one. Write one step a line:
`number. [field] question`. Each step is a complete question. Use #n in a step for the answer of step n, and only of
earlier steps. Steps that do not need each other must not name each other. If one specialist can answer the question
as it is, write it as the only step. Write nothing else.
Fields: {fields}."""
_EXAMPLES = (
    ("What is the capital of France?", "1. [geography] What is the capital of France?"),
    (
        "Who wrote Middlemarch, and what is compound interest?",
        "1. [literature] Who wrote Middlemarch?\n2. [finance] What is compound interest?",
    ),
    (
        "What is the population of the country where the author of Don Quixote was born?",
        """1. [literature] Who wrote Don Quixote?
2. [history] In which country was #1 born?
3. [geography] What is the population of #2?""",
    ),
    (
        "Was Marie Curie born before Albert Einstein?",
        """1. [science] In which year was Marie Curie born?
2. [science] In which year was Albert Einstein born?
3. [science] Is #1 earlier than #2?""",
    ),
)
_JSON_NOTE = '\nAnswer with JSON: {"steps": [{"field": ..., "question": ..., "after": [numbers of steps it needs]}]}'


class ModelPlanner:
    """Asks a model for the plan; `lease` brings the model, `fields` are what the team's experts answer for.

    An `adapter` is trained to plan: it gets the bare question, names the fields itself, and is asked once only, because
    it would write the same again. `completion_tokens` counts what the model has written.
    """

    def __init__(
        self,
        model: str,
        lease: Callable[[], AbstractAsyncContextManager[Backend]],
        fields: Sequence[str],
        *,
        max_steps: int = MAX_STEPS,
        adapter: str | None = None,
    ) -> None:
        self.name = f"model {model}, adapter {adapter}" if adapter else f"model {model}"
        self._lease = lease
        self._fields = fields
        self._max_steps = max_steps
        self._adapter = adapter
        self.completion_tokens = 0

    async def plan(self, question: str) -> AsyncGenerator[PlanPiece, None]:
        """Yield steps as the model writes them; after an error one repair, then what the rules make of the question.

        If steps stand already, the whole question follows them instead.
        """
        question = without_announcement(question)
        steps: list[SubQuery] = []
        later: list[str] = []
        problem = ""
        for _ in range(1 if self._adapter else 2):
            try:
                async with aclosing(self._sensible(question, steps, later, problem)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except PlanParseError as error:
                problem = str(error)
                yield Note(f"the model's plan was not usable: {error}")
            except ExpertError as error:
                yield Note(f"the planner failed: {error}")
                break
        for piece in _without_model(question, steps, self._max_steps):
            yield piece

    async def _sensible(
        self, question: str, steps: list[SubQuery], later: list[str], problem: str
    ) -> AsyncGenerator[PlanPiece, None]:
        """Yield what the model writes as far as it makes sense, adding to the `steps` and to what is asked `later`.

        A step that has no end (None) or repeats the question, or another step, ends the plan: a small model may not
        find an end by itself. After another step the question itself follows, with what was found. Questions side by
        side are not kept together, be they the whole question or a step.
        """
        async with aclosing(self._write(question, steps, problem)) as written:
            async for step in written:
                if step is None or _repeats(step, steps):
                    yield ENDED_EARLY
                    for closing in _closed(question, steps):
                        steps.append(closing)
                        yield closing
                    break
                if _bare(step.display) == _bare(question):
                    for piece in _kept_whole(question, step, steps, self._max_steps):
                        yield piece
                    return
                parts = _side_by_side(step)
                if step.id + len(later) + len(parts) - 1 > self._max_steps:
                    parts = []
                later += parts[1:]
                steps.append(SubQuery.literal(step.id, parts[0]) if len(parts) > 1 else step)
                yield steps[-1]
        room = max(0, self._max_steps - len(steps))
        for number, text in enumerate(later[:room], start=steps[-1].id + 1):
            yield SubQuery.literal(number, text)
        if later[room:]:
            yield Note(f"a plan may have {self._max_steps} steps, and none was left for: {' '.join(later[room:])}")

    async def _write(
        self, question: str, steps: Sequence[SubQuery], problem: str
    ) -> AsyncGenerator[SubQuery | None, None]:
        """Yield the steps that the model writes, and None if a trained one is cut off after one, going in circles."""
        reader = PlanReader(max_steps=self._max_steps, steps=steps)
        async with self._lease() as backend:
            as_json = backend.supports_json_schema and not backend.supports_grammar and not steps
            objects = StepObjects() if as_json else None
            request = (
                self._trained_request(question, self._adapter)
                if self._adapter
                else self._request(backend, question, steps, problem, as_json=as_json)
            )
            async with aclosing(backend.stream(request)) as chunks:
                async for chunk in chunks:
                    self.completion_tokens += chunk.completion_tokens or 0
                    for step in _read(reader, objects, chunk.text):
                        yield step
                    if chunk.finish_reason == "length" and self._adapter and reader.steps:
                        yield None
                        return
                    if chunk.finish_reason == "length":
                        line = len(reader.steps) + 1
                        raise PlanParseError(f"cut off after {request.max_tokens} tokens", line=line, text="")
        for step in reader.close():
            yield step

    def _trained_request(self, question: str, adapter: str) -> ChatRequest:
        turns = (Message("system", _PLAN), Message("user", question))
        max_tokens = min(_MAX_TOKENS, _ADDED_TOKENS + len(question))
        return ChatRequest(turns, max_tokens, grammar=grammar(self._max_steps, tagged=True), adapter=adapter)

    def _request(
        self, backend: Backend, question: str, steps: Sequence[SubQuery], problem: str, *, as_json: bool
    ) -> ChatRequest:
        instructions = _INSTRUCTIONS.format(fields=", ".join(self._fields)) + (_JSON_NOTE if as_json else "")
        turns = [Message("system", instructions)]
        for asked, plan in _EXAMPLES if not as_json else ():
            turns += [Message("user", asked), Message("assistant", plan)]
        turns.append(Message("user", question))
        if problem:
            turns[-1] = Message("user", f"{question}\n\n{_repair(steps, problem)}")
        constrained = grammar(self._max_steps) if backend.supports_grammar and not steps else None
        return ChatRequest(tuple(turns), _MAX_TOKENS, grammar=constrained, json_schema=SCHEMA if as_json else None)


def _repeats(step: SubQuery, steps: Sequence[SubQuery]) -> bool:
    return any(_bare(step.text) == _bare(other.text) for other in steps)


def _bare(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(" ?.!")


def _kept_whole(question: str, step: SubQuery, steps: Sequence[SubQuery], max_steps: int) -> Iterator[PlanPiece]:
    """Yield the step that is the whole question, or its parts if several questions stand side by side in it."""
    parts = split_question(question, max_steps) if question.count("?") > 1 and not steps else []
    if len(parts) > 1:
        yield Note("the model kept several questions whole; the rules split them")
        yield from (SubQuery.literal(number, part) for number, part in enumerate(parts, start=1))
    else:
        yield step


def _side_by_side(step: SubQuery) -> list[str]:
    """Return the questions that a step which waits for nothing puts side by side; they share no field."""
    return split_question(step.display) if step.text.count("?") > 1 and not step.parents else []


def _closed(question: str, steps: Sequence[SubQuery]) -> list[SubQuery]:
    """Return what a plan that went in circles lacks: the question itself, if it is one, after the steps nobody used."""
    if len(split_question(question)) > 1:
        return []
    used = {parent for step in steps for parent in step.parents}
    return [whole_question(question, {step.id for step in steps} - used)]


def _without_model(question: str, steps: Sequence[SubQuery], max_steps: int) -> Iterator[PlanPiece]:
    """Yield what is planned when the model cannot, and the note that says so."""
    parts = split_question(question, max_steps)
    if steps or len(parts) == 1:
        yield Note("the question was kept whole")
        yield whole_question(question, [step.id for step in steps])
    else:
        yield Note("the rules made the plan instead")
        yield from (SubQuery.literal(number, part) for number, part in enumerate(parts, start=1))


def _read(reader: PlanReader, objects: StepObjects | None, piece: str) -> Iterator[SubQuery]:
    """Yield the steps one by one, so that those before a line that breaks the language are not lost with it."""
    for line in objects.feed(piece) if objects else piece.splitlines(keepends=True):
        yield from reader.feed(line)


def _repair(steps: Sequence[SubQuery], problem: str) -> str:
    if not steps:
        return f"Your plan was not usable ({problem}). Write it again, and only it."
    written = "\n".join(format_step(step) for step in steps)
    return f"These steps stand:\n{written}\nWhat followed was not usable ({problem}). Write only the steps after them."
