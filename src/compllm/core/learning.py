"""What the scheduler learns while it runs: how long experts take, and what batching and sharing a device cost.

Everything is robust to outliers: durations are medians of the latest answers, rates move by a bounded step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from compllm.core.answers import SubAnswer
from compllm.core.ledger import Reading

DEFAULT_DURATION_S = 1.0
DEFAULT_TOKENS = 64.0
DEFAULT_TOKENS_PER_S = 20.0
# Prompts are read in parallel and so cost less than what is written token by token (Sheng et al. 2024).
_PROMPT_WEIGHT, _COMPLETION_WEIGHT = 1.0, 2.0
# Read and written by an expert that has not answered yet.
_TYPICAL_TOKENS = (64.0, 32.0)
_REMEMBERED = 32
_STEP = 0.25
_LARGEST_JUMP = 3.0
# A measurement counts as taken alone, or in steady company, if the average is this close to a whole number.
_STEADY = 0.3
_SHORTEST_S = 1e-6
# From so many requests at once on, what a batch does alone may be taken from one of another size.
_LEAST_BATCH = 2


def virtual_tokens(answer: SubAnswer) -> float:
    """Return what an answer costs its user."""
    return _PROMPT_WEIGHT * answer.prompt_tokens + _COMPLETION_WEIGHT * answer.completion_tokens


def writing_rate(answer: SubAnswer) -> float | None:
    """Return the tokens per second at which an answer was written; None where there is too little to tell."""
    writing_s = answer.elapsed_s - answer.ttft_s
    return answer.completion_tokens / writing_s if answer.completion_tokens > 1 and writing_s > _SHORTEST_S else None


@dataclass(slots=True)
class Rates:
    """A rate (per second) for every number of requests in flight, as far as seen."""

    by_count: dict[int, float] = field(default_factory=dict)

    def learn(self, count: int, rate: float) -> None:
        """Move the rate for this many requests towards a measurement, by a quarter of the way."""
        known = self.by_count.get(count)
        if known is None:
            self.by_count[count] = rate
            return
        bounded = min(max(rate, known / _LARGEST_JUMP), known * _LARGEST_JUMP)
        self.by_count[count] = known + _STEP * (bounded - known)

    def at(self, count: int) -> float | None:
        """Return the rate for this many requests, between two that were seen on the line that joins them."""
        if not self.by_count:
            return None
        seen = sorted(self.by_count)
        place = bisect_left(seen, count)
        if place == len(seen) or place == 0:
            return self.by_count[seen[min(place, len(seen) - 1)]]
        low, high = seen[place - 1], seen[place]
        share = (count - low) / (high - low)
        return self.by_count[low] + share * (self.by_count[high] - self.by_count[low])


@dataclass(slots=True)
class Throughput:
    """One replica's tokens per second and request, by requests in flight: prompts read, and answers written."""

    prefill: Rates = field(default_factory=Rates)
    decode: Rates = field(default_factory=Rates)

    def learn(self, answer: SubAnswer, in_flight: int) -> None:
        """Take note of an answer that was written beside `in_flight - 1` others."""
        if answer.prompt_tokens and answer.ttft_s > _SHORTEST_S:
            self.prefill.learn(in_flight, answer.prompt_tokens / answer.ttft_s)
        if (rate := writing_rate(answer)) is not None:
            self.decode.learn(in_flight, rate)

    def predict_s(self, prompt_tokens: float, completion_tokens: float, in_flight: int) -> float | None:
        """Return the seconds of one answer; None while nothing was seen."""
        read, write = self.prefill.at(in_flight), self.decode.at(in_flight)
        if read is None or write is None:
            return None
        return prompt_tokens / read + completion_tokens / write


@dataclass(frozen=True, slots=True)
class Company:
    """In which company a node ran: requests on its replica and computing replicas on its device, both on average."""

    in_flight: float = 1.0
    computing: float = 1.0


def company_between(before: Reading, after: Reading) -> Company | None:
    """Return the average company between two readings; None where no time has passed."""
    lasted_s = after.at_s - before.at_s
    if lasted_s <= 0:
        return None
    in_flight = (after.slot_s - before.slot_s) / lasted_s
    return Company(in_flight, (after.computing_s - before.computing_s) / lasted_s)


class Estimates:
    """Learned durations, throughput curves and co-run factors.

    Durations are by expert, in seconds as if alone; curves by model; the co-run factor of a device is the speed that n
    computing replicas leave to each.
    """

    def __init__(self) -> None:
        self._durations_s: dict[str, deque[float]] = {}
        self._tokens: dict[str, deque[float]] = {}
        self._throughput: dict[str, Throughput] = {}
        self._corun: dict[str, Rates] = {}

    def duration_s(self, expert: str, model: str = "") -> float:
        """Return what an answer of the expert takes as a rule; of a new one, what its model's speed lets expect."""
        if expert in self._durations_s:
            return median(self._durations_s[expert])
        known = self._throughput.get(model)
        guess_s = known.predict_s(*_TYPICAL_TOKENS, in_flight=1) if known is not None else None
        return DEFAULT_DURATION_S if guess_s is None else guess_s

    def shortest_s(self, expert: str) -> float:
        """Return the least that an answer of the expert took lately; 0 until there are two: one may be an outlier."""
        known_s = self._durations_s.get(expert, ())
        return min(known_s) if len(known_s) > 1 else 0.0

    def tokens(self, expert: str) -> float:
        """Return what an answer of the expert costs its user as a rule."""
        return median(self._tokens[expert]) if expert in self._tokens else DEFAULT_TOKENS

    def load_tokens(self, model: str, load_s: float) -> float:
        """Return what a load costs the user whose node asked for it: what the model would have written meanwhile."""
        rate = self.throughput(model).decode.at(1) or DEFAULT_TOKENS_PER_S
        return _COMPLETION_WEIGHT * rate * load_s

    def throughput(self, model: str) -> Throughput:
        """Return what is known of a model's speed."""
        return self._throughput.setdefault(model, Throughput())

    def learn(self, model: str, device: str, answer: SubAnswer, company: Company, curve: tuple[float, ...]) -> None:
        """Take note of an answer; `curve` is the model's own, for where nothing was learned."""
        in_flight, computing = max(1, round(company.in_flight)), max(1, round(company.computing))
        slowdown = in_flight / self.speedup(model, in_flight, curve) / self.corun(device, computing)
        alone_s = answer.elapsed_s / max(slowdown, 1.0)
        self._durations_s.setdefault(answer.expert, deque(maxlen=_REMEMBERED)).append(alone_s)
        self._tokens.setdefault(answer.expert, deque(maxlen=_REMEMBERED)).append(virtual_tokens(answer))
        if abs(company.in_flight - in_flight) > _STEADY or abs(company.computing - computing) > _STEADY:
            return
        if computing == 1:
            self.throughput(model).learn(answer, in_flight)
        else:
            self._learn_corun(model, device, answer, in_flight, computing, curve)

    def speedup(self, model: str, in_flight: int, curve: tuple[float, ...] = ()) -> float:
        """Return what this many requests get done on a replica, relative to one: at most `in_flight`.

        Never less than fewer of them: a full batch also waits while others' prompts are read, which must not look as
        if smaller batches were better.
        """
        known = self._throughput.get(model)
        if known is None or 1 not in known.decode.by_count or in_flight > max(known.decode.by_count):
            return curve[in_flight - 1] if 0 < in_flight <= len(curve) else float(in_flight)
        done = max(count * (known.decode.at(count) or 0.0) for count in range(1, in_flight + 1))
        return min(in_flight, done / known.decode.by_count[1])

    def corun(self, device: str, computing: int) -> float:
        """Return the share of its speed that each of this many computing replicas keeps; 1 while nothing is known."""
        rates = self._corun.get(device)
        return min(1.0, rates.by_count.get(computing, 1.0)) if rates is not None and computing > 1 else 1.0

    def dump(self) -> dict[str, dict[str, object]]:
        """Return everything learned as plain values that JSON can hold; `restore` takes them back."""
        return {
            "durations_s": {expert: list(values) for expert, values in self._durations_s.items()},
            "tokens": {expert: list(values) for expert, values in self._tokens.items()},
            "prefill": {model: _pairs(each.prefill) for model, each in self._throughput.items()},
            "decode": {model: _pairs(each.decode) for model, each in self._throughput.items()},
            "corun": {device: _pairs(rates) for device, rates in self._corun.items()},
        }

    def restore(self, dumped: Mapping[str, Mapping[str, Iterable[float]]]) -> None:
        """Go on from what `dump` returned in an earlier life."""
        for name, kept in (("durations_s", self._durations_s), ("tokens", self._tokens)):
            kept.update({expert: deque(values, maxlen=_REMEMBERED) for expert, values in dumped.get(name, {}).items()})
        for model, values in dumped.get("prefill", {}).items():
            self.throughput(model).prefill.by_count.update(_counts(values))
        for model, values in dumped.get("decode", {}).items():
            self.throughput(model).decode.by_count.update(_counts(values))
        for device, values in dumped.get("corun", {}).items():
            self._corun[device] = Rates(_counts(values))

    def _learn_corun(
        self, model: str, device: str, answer: SubAnswer, in_flight: int, computing: int, curve: tuple[float, ...]
    ) -> None:
        """Compare how fast an answer was written with what such a batch writes alone.

        Reading is left out: a prompt that the model has in its cache is read in no time. A batch that was never seen
        alone is held against the model's own curve, which may promise too much: so far, replicas side by side are not
        taken to get less done than one after another.
        """
        alone, rate = self.throughput(model).decode, writing_rate(answer)
        if rate is None or 1 not in alone.by_count:
            return
        is_measured = max(alone.by_count) >= min(in_flight, _LEAST_BATCH)
        expected = alone.at(in_flight) if is_measured else None
        if expected is None:
            expected = alone.by_count[1] * self.speedup(model, in_flight, curve) / in_flight
        share = rate / expected
        self._corun.setdefault(device, Rates()).learn(computing, share if is_measured else max(share, 1 / computing))


def _pairs(rates: Rates) -> list[float]:
    return [value for pair in sorted(rates.by_count.items()) for value in pair]


def _counts(pairs: Iterable[float]) -> dict[int, float]:
    values = list(pairs)
    return {int(count): rate for count, rate in zip(values[::2], values[1::2], strict=True)}
