"""How well a team answers the questions of its application, and what that takes.

An application is a folder with a team file and `questions.jsonl`, like those in `examples/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Event, Thread

import psutil

from compllm.bench.evidence.scores import plain
from compllm.bench.figures import Figures, mean, percentiles
from compllm.bench.rows import evenly
from compllm.bench.squad import contains, token_f1
from compllm.core.events import ModelLoaded, NodeCompleted, RunCompleted, Stamped
from compllm.errors import ConfigError
from compllm.pipeline import Team
from compllm.router.calibration import read_json_lines

QUESTIONS_FILE = "questions.jsonl"
_SAMPLE_S = 0.02


@dataclass(frozen=True, slots=True)
class Question:
    """A question, what its answer must hold (each part in one of several wordings), and who knows that."""

    id: str
    text: str
    parts: tuple[tuple[str, ...], ...]
    experts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a question got: the answer (empty if none), the experts that answered steps, and the loads it saw."""

    question: Question
    answer: str
    experts: tuple[str, ...]
    loads: tuple[ModelLoaded, ...]
    elapsed_s: float

    @property
    def kept(self) -> tuple[bool, ...]:
        """Whether each part is in the answer, in one of its wordings, word for word once both are normalised."""
        return tuple(contains(self._said, part) for part in self.question.parts)

    @property
    def f1(self) -> float:
        """Token F1 of the answer, without citations and gaps, and the parts in order, each as it is worded there."""
        gold = [max(part, key=lambda wording: token_f1(self._said, [wording])) for part in self.question.parts]
        return token_f1(self._said, [" ".join(gold)]) if self._said else 0.0

    @property
    def right_experts(self) -> float:
        """Share of the experts that know a part who answered a step."""
        return len({*self.question.experts} & {*self.experts}) / len(self.question.experts)

    @property
    def _said(self) -> str:
        return plain(self.answer)


@dataclass(slots=True)
class Memory:
    """The most bytes that a process and all below it held in any sample, pages that they share counted in each."""

    root: psutil.Process
    peak_bytes: int = 0
    samples: int = 0

    def sample(self) -> None:
        """Look once; a process that is gone holds nothing."""
        held_bytes = sum(map(_resident_bytes, [self.root, *_below(self.root)]))
        self.peak_bytes = max(self.peak_bytes, held_bytes)
        self.samples += 1


@contextmanager
def watched_memory(root: psutil.Process | None = None, period_s: float = _SAMPLE_S) -> Iterator[Memory]:
    """Sample, in a thread, what a process (this one if none is named) and all below it hold, until the context ends."""
    memory, over = Memory(root or psutil.Process()), Event()

    def watch() -> None:
        memory.sample()
        while not over.wait(period_s):
            memory.sample()

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        over.set()
        thread.join()


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:  # it has just ended
        return 0


def read_questions(path: Path, limit: int | None = None) -> list[Question]:
    """Read JSON lines `{"id", "question", "parts": [[wording, ...], ...], "experts"}`, at most `limit`, spread evenly.

    Raises:
        ConfigError: naming file and line.
    """
    found = read_json_lines(path)
    return [_question(found[place][1], found[place][0]) for place in evenly(len(found), limit)]


def _question(row: Mapping[str, object], where: str) -> Question:
    id_, text, parts = row.get("id"), row.get("question"), row.get("parts")
    named = all(isinstance(each, str) and each.strip() for each in (id_, text))
    if not named or not isinstance(parts, list) or not parts:
        raise ConfigError(f'{where}: a row needs "id", "question" and "parts"')
    wordings = tuple(_texts(part, '"parts"', where) for part in parts)
    return Question(str(id_), str(text), wordings, _texts(row.get("experts"), '"experts"', where))


def _texts(value: object, name: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text.strip() for text in value):
        raise ConfigError(f"{where}: {name} must be lists of texts")
    return tuple(value)


async def asked(team: Team, question: Question) -> Outcome:
    """Put a question to the team; a run that fails is an outcome without an answer."""
    return outcome(question, [stamped async for stamped in team.stream(question.text)])


def outcome(question: Question, events: Sequence[Stamped]) -> Outcome:
    """Return what the events of a run say about its question."""
    answers = [stamped.event.answer for stamped in events if isinstance(stamped.event, RunCompleted)]
    experts = [stamped.event.answer.expert for stamped in events if isinstance(stamped.event, NodeCompleted)]
    loads = [stamped.event for stamped in events if isinstance(stamped.event, ModelLoaded)]
    return Outcome(
        question, answers[-1] if answers else "", tuple(dict.fromkeys(experts)), tuple(loads), events[-1].at_s
    )


def question_figures(done: Outcome) -> Figures:
    """Return the figures of one question; the seconds count from the question to the whole answer."""
    return {
        "question": done.question.id,
        "parts_kept": sum(done.kept),
        "parts": len(done.kept),
        "f1": round(done.f1, 2),
        "right_experts": round(done.right_experts, 2),
        "experts": ", ".join(done.experts),
        "loads": len(done.loads),
        "answer_s": round(done.elapsed_s, 2),
        "answer": done.answer,
    }


def application_figures(done: Sequence[Outcome], memory: Memory) -> Figures:
    """Return the figures of all questions.

    `parts_kept` is the share of all parts, `all_kept` that of questions with every part; a load that several runs saw
    counts once; `peak_bytes` is of all processes together, shared pages counted in each.
    """
    return {
        "questions": len(done),
        "parts_kept": mean([kept for each in done for kept in each.kept]),
        "all_kept": mean([all(each.kept) for each in done]),
        "f1": mean([each.f1 for each in done]),
        "right_experts": mean([each.right_experts for each in done]),
        "unanswered": sum(not each.answer for each in done),
        **percentiles("answer_s", [each.elapsed_s for each in done]),
        "loads": len({*chain.from_iterable(each.loads for each in done)}),
        "peak_bytes": memory.peak_bytes,
    }
