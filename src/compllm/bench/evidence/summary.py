"""Records as figures: a row for each system and set, and paired comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from compllm.bench.evidence.records import Record
from compllm.bench.evidence.scores import Scores
from compllm.bench.evidence.statistics import Difference, Interval, interval, paired
from compllm.bench.figures import Figures, mean, percentiles, rounded
from compllm.errors import ConfigError

ALL = "All"
MEASURES = tuple(field.name for field in fields(Scores))
_MIB = 2**20


def summaries(records: Sequence[Record]) -> list[Figures]:
    """Return the figures of each set, and of all if there are several; within a set, a row for each system.

    Scores are means, None where there is nothing to compare; `f1_low` and `f1_high` bound the 95 % confidence interval
    of F1. Calls and tokens are means, load seconds the sum, `peak_mib` the maximum.
    """
    sets = sorted({record.set for record in records})
    names = [*sets, ALL] if len(sets) > 1 else sets
    return [
        _figures(name, system, found)
        for name in names
        for system, found in by_system(record for record in records if name in (record.set, ALL)).items()
    ]


def by_system(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return the records of each system, in the order in which the systems come first."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.system, []).append(record)
    return found


def f1_interval(records: Sequence[Record]) -> Interval:
    """Return the mean F1 and its confidence interval."""
    return interval([record.scores.f1 for record in records])


def _figures(name: str, system: str, records: Sequence[Record]) -> Figures:
    bounds = f1_interval(records)
    costs = [record.cost for record in records]
    scores = {measure: mean(list(_values(records, measure))) for measure in MEASURES}
    if scores["judged"] is None:
        del scores["judged"]
    return {
        "set": name,
        "system": system,
        "questions": len(records),
        "f1": scores.pop("f1"),
        "f1_low": rounded(bounds.low),
        "f1_high": rounded(bounds.high),
        **scores,
        "calls": mean([cost.calls for cost in costs]),
        "prompt_tokens": mean([cost.prompt_tokens for cost in costs]),
        "completion_tokens": mean([cost.completion_tokens for cost in costs]),
        **percentiles("latency_s", [cost.latency_s for cost in costs]),
        **percentiles("ttft_s", [cost.ttft_s for cost in costs]),
        "load_s": rounded(sum(cost.load_s for cost in costs)),
        "peak_mib": round(max(cost.peak_bytes for cost in costs) / _MIB),
    }


def _values(records: Sequence[Record], measure: str) -> Iterable[float]:
    found = (getattr(record.scores, measure) for record in records)
    return (value for value in found if value is not None)


# --- comparisons -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems on the questions that both answered: how far the first lies above the second in each measure."""

    first: str
    second: str
    questions: int
    differences: Mapping[str, Difference]
    latency_ratio: float

    def figures(self) -> list[Figures]:
        """Return a row for each measure; its `questions` are those that both have a value of it for."""
        return [
            {
                "first": self.first,
                "second": self.second,
                "measure": measure,
                "questions": difference.questions,
                "difference": rounded(difference.interval.mean),
                "low": rounded(difference.interval.low),
                "high": rounded(difference.interval.high),
                "p": rounded(difference.p_value),
            }
            for measure, difference in self.differences.items()
        ]


def compare(first: Sequence[Record], second: Sequence[Record]) -> Comparison:
    """Compare the records of two systems, question by question.

    `latency_ratio` is the sum of the second's seconds over the first's: above 1 the first is faster.

    Raises:
        ConfigError: they have no question in common, or questions of other sets with the same names.
    """
    theirs = {record.id: record for record in second}
    pairs = [(record, theirs[record.id]) for record in first if record.id in theirs]
    if not pairs:
        raise ConfigError("the two have no question in common: compare results of the same set")
    for ours, other in pairs:
        if (ours.question, ours.gold) != (other.question, other.gold):
            raise ConfigError(f"{ours.id} is not the same question in both: compare results of the same set")
    differences = {}
    for measure in MEASURES:
        values = [(getattr(a.scores, measure), getattr(b.scores, measure)) for a, b in pairs]
        known = [(a, b) for a, b in values if a is not None and b is not None]
        if known:
            differences[measure] = paired([a for a, _ in known], [b for _, b in known])
    ratio = sum(b.cost.latency_s for _, b in pairs) / max(sum(a.cost.latency_s for a, _ in pairs), 1e-9)
    return Comparison(pairs[0][0].system, pairs[0][1].system, len(pairs), differences, ratio)
