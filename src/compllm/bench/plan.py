"""How well a planner splits questions: its plans against gold ones, what they cost, and how soon they run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from compllm.bench.figures import Figures, mean, percentiles, ratio
from compllm.bench.graphs import Agreement, agreement, match_steps
from compllm.bench.plan_data import GoldPlan
from compllm.bench.route_data import BenchExpert
from compllm.core.plan import Plan, SubQuery
from compllm.core.routing import THRESHOLD
from compllm.planner.base import Note, Planner
from compllm.planner.written import ENDED_EARLY, ModelPlanner
from compllm.router.base import Encoder, Vectors
from compllm.router.index import WANTED_EXPERT

_WARM_UP = "What is the capital of France, and who wrote Hamlet?"


@dataclass(frozen=True, slots=True)
class Planned:
    """A question that was planned: the plan, what the planner noted, its tokens, the seconds to step one and end."""

    gold: GoldPlan
    plan: Plan
    notes: tuple[Note, ...]
    tokens: int
    first_s: float
    end_s: float


async def warm_up(planner: Planner) -> None:
    """Have the planner plan something, so that its model is loaded."""
    async with aclosing(planner.plan(_WARM_UP)) as pieces:
        async for _ in pieces:
            pass


async def planned(planner: Planner, gold: GoldPlan) -> Planned:
    """Plan a question and note what it took."""
    began_s, first_s = time.monotonic(), 0.0
    steps: list[SubQuery] = []
    notes: list[Note] = []
    async with aclosing(planner.plan(gold.question)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Note):
                notes.append(piece)
            else:
                first_s = first_s or time.monotonic() - began_s
                steps += piece.steps if isinstance(piece, Plan) else (piece,)
    tokens = planner.completion_tokens if isinstance(planner, ModelPlanner) else 0
    return Planned(gold, Plan(tuple(steps)), tuple(notes), tokens, first_s, time.monotonic() - began_s)


def plan_figures(done: Sequence[Planned], encoder: Encoder, experts: Sequence[BenchExpert] = ()) -> list[Figures]:
    """Return a row of figures for each file, and one for each kind in it if it has several.

    - `valid`: the planner needed neither repair nor fallback; `ended_early`: it repeated a step, and the plan is what
      stood before that. `steps_off`: mean difference in steps.
    - `edge_precision`, `edge_recall`, `edge_f1`: over all edges. `exact`: as many steps and the same edges, between
      steps that were matched; `same_shape`: the same graph, whatever its steps ask.
    - `parallelism_kept`: where the gold plan has some. `whole_kept`: one step where the gold plan is one.
    - `expert_right`: the tag's sentence is nearest (raw cosine) to the description of the gold step's expert;
      `tag_trusted`: the nearest reaches the threshold. Over tagged steps whose gold expert is among `experts`.
    - `tokens`: mean length of a plan. `first_s_*`, `end_s_*`: to the first step and to the end.

    Raises:
        RoutingError: the encoder failed.
    """
    judged = _Judge.prepare(done, encoder, experts).judge(done)
    rows = []
    for file, of_file in groupby(sorted(judged, key=_place), key=lambda each: each.done.gold.file):
        kinds = {kind: list(of_kind) for kind, of_kind in groupby(of_file, key=lambda each: each.done.gold.kind)}
        rows.append(_row(file, "all", [each for of_kind in kinds.values() for each in of_kind]))
        rows += [_row(file, kind, of_kind) for kind, of_kind in kinds.items() if len(kinds) > 1]
    return rows


@dataclass(frozen=True, slots=True)
class _Judged:
    """A planned question, how it agrees with gold, and the right expert and trust of each tag that can be judged."""

    done: Planned
    agreement: Agreement
    experts_right: tuple[bool, ...]
    tags_trusted: tuple[bool, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """What judging needs: the vectors of all texts, the descriptions of the experts and their columns by domain."""

    vectors: Mapping[str, Vectors]
    descriptions: Vectors
    columns: Mapping[str, int]

    @classmethod
    def prepare(cls, done: Sequence[Planned], encoder: Encoder, experts: Sequence[BenchExpert]) -> _Judge:
        plans = [plan for each in done for plan in (each.plan, each.gold.plan)]
        steps = [step for plan in plans for step in plan.steps]
        texts = list(dict.fromkeys([s.display for s in steps] + [_wanted(s.tag) for s in steps if s.tag]))
        vectors = dict(zip(texts, encoder.encode(texts), strict=True))
        columns = {name: place for place, expert in enumerate(experts) for name in (expert.name, expert.label)}
        return cls(vectors, encoder.encode([expert.description for expert in experts]), columns)

    def judge(self, done: Sequence[Planned]) -> list[_Judged]:
        return [self._judge(each) for each in done]

    def _judge(self, done: Planned) -> _Judged:
        made, gold = done.plan, done.gold.plan
        rows = match_steps(self._texts(made), self._texts(gold))
        agreed = agreement(made, gold, rows)
        tags = [(made[step].tag, gold[mate].tag) for step, mate in agreed.matching.items()]
        scores = [
            (self.descriptions @ self.vectors[_wanted(tag)], self.columns[domain])
            for tag, domain in tags
            if tag and domain and domain in self.columns
        ]
        right = tuple(int(cosines.argmax()) == column for cosines, column in scores)
        return _Judged(done, agreed, right, tuple(float(cosines.max()) >= THRESHOLD for cosines, _ in scores))

    def _texts(self, plan: Plan) -> Vectors:
        return np.array([self.vectors[step.display] for step in plan.steps])


def _wanted(tag: str) -> str:
    return WANTED_EXPERT.format(field=tag)


def _place(judged: _Judged) -> tuple[str, str]:
    return judged.done.gold.file, judged.done.gold.kind


def _row(file: str, kind: str, judged: Sequence[_Judged]) -> Figures:
    agreed = [each.agreement for each in judged]
    done = [each.done for each in judged]
    whole = [len(each.plan) == 1 for each in done if len(each.gold.plan) == 1]
    return {
        "file": file,
        "kind": kind,
        "questions": len(judged),
        "valid": mean([set(each.notes) <= {ENDED_EARLY} for each in done]),
        "ended_early": mean([ENDED_EARLY in each.notes for each in done]),
        "steps_off": mean([each.steps_off for each in agreed]),
        **_edges(agreed),
        "exact": mean([each.exact for each in agreed]),
        "same_shape": mean([each.same_shape for each in agreed]),
        "parallelism_kept": mean([each.parallelism_kept for each in agreed if each.parallelism_kept is not None]),
        "whole_kept": mean(whole),
        "expert_right": mean([right for each in judged for right in each.experts_right]),
        "tag_trusted": mean([trusted for each in judged for trusted in each.tags_trusted]),
        "tokens": mean([each.tokens for each in done]),
        **percentiles("first_s", [each.first_s for each in done]),
        **percentiles("end_s", [each.end_s for each in done]),
    }


def _edges(agreed: Sequence[Agreement]) -> Figures:
    right, made, gold = (
        sum(counts) for counts in zip(*((a.edges_right, a.edges_made, a.edges_gold) for a in agreed), strict=True)
    )
    return {
        "edge_precision": ratio(right, made),
        "edge_recall": ratio(right, gold),
        "edge_f1": ratio(2 * right, made + gold),
    }
