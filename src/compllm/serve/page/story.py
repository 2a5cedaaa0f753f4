"""What is known of a run so far, in the form that its page shows; takes one event after another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from compllm.core.events import AnswerDelta, NodeDelta, NodeStarted, Stamped
from compllm.explain import Explanation, NodeStory, explain
from compllm.serve.page import words


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as its page shows it; `written` is what running nodes have written so far, `answer` that of the run."""

    run: Explanation
    written: dict[int, str]
    answer: str

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.run.status != "running"


class Story:
    """Gathers the events of a run. What was written piece by piece is kept as text, so that a view costs little."""

    def __init__(self, events: Iterable[Stamped] = ()) -> None:
        self._recorded: list[Stamped] = []
        self._last_piece: list[Stamped] = []
        self._written: dict[int, list[str]] = {}
        self._answer: list[str] = []
        for stamped in events:
            self.take(stamped)

    def take(self, stamped: Stamped) -> None:
        """Add what happened next."""
        match stamped.event:
            case NodeDelta(node=node, text=text):
                self._written.setdefault(node, []).append(text)
                self._last_piece = [stamped]
            case AnswerDelta(text=text):
                self._answer.append(text)
                self._last_piece = [stamped]
            case event:
                self._recorded.append(stamped)
                if isinstance(event, NodeStarted):  # another attempt begins anew
                    self._written.pop(event.node, None)

    def view(self) -> RunView:
        """Return the run as it stands."""
        run = explain([*self._recorded, *self._last_piece])
        written = {node: "".join(pieces) for node, pieces in self._written.items()}
        return RunView(run, written, "".join(self._answer) if run.answer is None else run.answer)


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of what is known of a node."""

    label: str
    text: str


def facts(node: NodeStory) -> list[Fact]:
    """Return what is known of a node's run, other than its text, scores and passages."""
    place = f"{node.model} on {node.device}" if node.device else node.model
    known = [
        Fact("Note", node.caveat),
        Fact("Model", place),
        Fact("Needs", words.nodes(node.parents)),
        Fact("Failed", node.reason or ""),
        Fact("Skipped", f"#{node.because} has no answer" if node.because is not None else ""),
        Fact("Waited", "; ".join(map(words.wait, node.waits))),
        Fact("Ran", words.span(node.started_s, node.ended_s) if node.started_s is not None else ""),
        Fact("Alongside", words.nodes(node.alongside)),
        Fact("Tokens", _tokens(node)),
    ]
    return [fact for fact in known if fact.text]


def _tokens(node: NodeStory) -> str:
    if node.answer is None or not node.answer.completion_tokens:
        return ""
    known = [f"{node.answer.prompt_tokens} read", f"{node.answer.completion_tokens} written"]
    if node.tokens_per_s is not None:
        known.append(f"{node.tokens_per_s:.1f} per second")
    return ", ".join([*known, f"the first after {words.seconds(node.answer.ttft_s)}"])


def interrupted(view: RunView) -> RunView:
    """Return a run that has no end, of a process that is gone, as one that was cut off."""
    reason = "the program that worked on it has stopped"
    nodes = tuple(
        replace(node, state="cancelled") if node.state in {"running", "waiting"} else node for node in view.run.nodes
    )
    return replace(view, run=replace(view.run, status="cancelled", reason=reason, nodes=nodes))
