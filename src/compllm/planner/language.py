r"""The plan language: one step a line, read and written in any chunking.

    1. [geography] What is the capital of France?
    2. [geography] What is the population of #1?
    3. Which of them came first? (after #1, #2)

`[field]` names the field of the expert that the step wants; `#n` stands for the answer of an earlier step; `(after #n)`
adds an edge without substitution; `\#` is a literal number sign. Steps are numbered 1, 2, 3, ... without gaps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from compllm.core.plan import Plan, SubQuery
from compllm.errors import PlanParseError

MAX_STEPS = 32
MAX_LINE_CHARACTERS = 4_000

_LINE = re.compile(r"^(?P<id>\d{1,9})\s*[.):]\s*(?:\[(?P<tag>[^\[\]]{1,80})\]\s*)?(?P<text>.*)$")
_AFTER = re.compile(r"\(\s*after\s+(?P<steps>#\d{1,9}(?:\s*(?:,\s*and|,|and)\s*#\d{1,9})*)\s*\)\.?$", re.IGNORECASE)

STEP_FORM = "write it as `1. [field] question`"


class PlanReader:
    """Reads a plan piece by piece and gives each step as soon as its line has ended.

    The pieces may be cut anywhere. `steps` are those that stand already; reading goes on behind them. After an error
    the reader takes nothing more. A line may be as long as `line_characters`, if that is given.
    """

    def __init__(
        self,
        *,
        max_steps: int = MAX_STEPS,
        steps: Iterable[SubQuery] = (),
        line_characters: int | None = MAX_LINE_CHARACTERS,
    ) -> None:
        self.max_steps = max_steps
        self._line_characters = line_characters
        self._buffer = ""
        self._steps = list(steps)
        self._line = len(self._steps)

    @property
    def steps(self) -> tuple[SubQuery, ...]:
        """The steps read so far."""
        return tuple(self._steps)

    def feed(self, piece: str) -> list[SubQuery]:
        """Take a piece of the plan and return the steps that it completed.

        Raises:
            PlanParseError: a line breaks the plan language.
        """
        self._buffer += piece
        *lines, self._buffer = self._buffer.split("\n")
        steps = [step for line in lines for step in self._take(line)]
        self._check_length(self._buffer, self._line + 1)
        return steps

    def close(self) -> list[SubQuery]:
        """Take what is left as the last line and return its step, if it holds one.

        Raises:
            PlanParseError: the last line breaks the plan language, or the plan is empty.
        """
        line, self._buffer = self._buffer, ""
        steps = self._take(line)
        if not self._steps:
            raise PlanParseError(f"the plan has no steps; {STEP_FORM}", line=max(self._line, 1), text="")
        return steps

    def _take(self, line: str) -> list[SubQuery]:
        self._line += 1
        self._check_length(line, self._line)
        line = line.strip()
        if not line:
            return []
        step = self._parse(line)
        self._steps.append(step)
        return [step]

    def _parse(self, line: str) -> SubQuery:
        match = _LINE.match(line)
        if match is None:
            raise self._error(f"not a step; {STEP_FORM}", line)
        step_id, expected = int(match["id"]), len(self._steps) + 1
        if step_id != expected:
            kind = "is used twice" if 0 < step_id < expected else f"comes where {expected} should be"
            raise self._error(f"step number {step_id} {kind}", line)
        if step_id > self.max_steps:
            raise self._error(f"more than the allowed {self.max_steps} steps", line)
        text, after = _split_after(match["text"].strip())
        if not text:
            raise self._error(f"the step has no question; {STEP_FORM}", line)
        tag = match["tag"].strip() if match["tag"] else None
        step = SubQuery(step_id, text, tag or None, after)
        self._check_earlier(step.parents, step_id, line)
        return step

    def _check_earlier(self, named: Iterable[int], step_id: int, line: str) -> None:
        for step in sorted(named):
            if not 0 < step < step_id:
                allowed = f"only #1 to #{step_id - 1} are" if step_id > 1 else "the first step can name none"
                raise self._error(f"#{step} is not an earlier step; {allowed}", line)

    def _check_length(self, text: str, line: int) -> None:
        """Refuse a long line while it is still being written: whatever writes it may never end it."""
        if self._line_characters is not None and len(text) > self._line_characters:
            raise PlanParseError(f"longer than {self._line_characters} characters", line=line, text=text[:200])

    def _error(self, message: str, text: str) -> PlanParseError:
        return PlanParseError(message, line=self._line, text=text[:200])


def _split_after(text: str) -> tuple[str, frozenset[int]]:
    match = _AFTER.search(text.rstrip())
    if match is None:
        return text, frozenset()
    return text[: match.start()].rstrip(), frozenset(int(n) for n in re.findall(r"#(\d+)", match["steps"]))


def parse_plan(text: str, *, max_steps: int = MAX_STEPS) -> Plan:
    """Read a whole plan; its lines may be of any length, for a team has a limit of its own.

    Raises:
        PlanParseError: a line breaks the plan language.
    """
    reader = PlanReader(max_steps=max_steps, line_characters=None)
    reader.feed(text)
    reader.close()
    return Plan(reader.steps)


def format_step(step: SubQuery) -> str:
    """Write a step as a line of the plan language; `parse_plan` reads it back, its white space as single blanks."""
    text = " ".join(step.text.split())
    tag = f"[{step.tag or ' '}] " if step.tag or text.startswith("[") else ""
    after = f" (after {', '.join(f'#{n}' for n in sorted(step.after))})" if step.after else ""
    return f"{step.id}. {tag}{text}{after}"


def format_plan(plan: Plan) -> str:
    """Write a plan in the plan language, one line a step."""
    return "\n".join(format_step(step) for step in plan.steps)


def grammar(max_steps: int = MAX_STEPS, *, tagged: bool = False) -> str:
    """Return a GBNF grammar that admits only numbered lines with references to earlier steps (`tagged`: and a tag).

    Each step number is spelt out, so ids cannot gap and step n can only name #1 to #(n-1); no step lacks its question.
    """
    rules = ["root ::= step1"]
    tag = "tag" if tagged else "tag?"
    for n in range(1, max_steps + 1):
        rest = f" step{n + 1}?" if n < max_steps else ""
        question = "first char*"
        if n > 1:
            earlier = " | ".join(f'"{k}"' for k in range(n - 1, 0, -1))
            rules.append(f'ref{n} ::= "#" ({earlier})')
            question = f"(ref{n} | (first | ref{n} break) (char | ref{n} break)* ref{n}?)"
        rules.append(f'step{n} ::= "{n}. " {tag} {question} ("\\n"{rest})?')
    rules += [
        'tag ::= "[" [0-9A-Za-z] [0-9A-Za-z ,&+/-]* "] "',
        "first ::= [^#(\\[ \\x00-\\x1f]",
        "char ::= [^#\\x00-\\x1f]",
        "break ::= [^#0-9A-Za-z_\\x00-\\x1f]",
    ]
    return "\n".join(rules)
