"""Traces for OpenTelemetry: one tree of spans for each run, by the semantic conventions for generative AI.

The run is an `invoke_agent` span; below it are the plan, one `chat` span for each attempt at a node, linked to those of
the nodes whose answers it uses, and the writing of the answer. Parents are explicit: what happens for many runs in one
event loop has no current span.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer

from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.serve.answering import sound
from compllm.settings import wants_content

_PROVIDER = "compllm"
_Attributes = dict[str, str | int | float | bool]


@dataclass(slots=True)
class _Tree:
    """The spans of a run; `last` holds the latest one of each node, ended or not."""

    root: Span
    stages: dict[str, Span] = field(default_factory=dict)
    last: dict[int, Span] = field(default_factory=dict)
    parents: dict[int, tuple[int, ...]] = field(default_factory=dict)
    questions: dict[int, str] = field(default_factory=dict)

    def end(self) -> None:
        """End whatever has not ended, the root last."""
        for span in (*self.stages.values(), *self.last.values(), self.root):
            if span.is_recording():
                span.end()


class Traces:
    """An observer that makes spans; questions and answers are in them only `with_content`."""

    def __init__(self, tracer: Tracer, *, with_content: bool = False) -> None:
        self._tracer = tracer
        self._with_content = with_content
        self._trees: dict[str, _Tree] = {}
        self._takers: Mapping[type, Callable[[_Tree, Any], None]] = {
            ev.NodeAdded: self._added,
            ev.NodeRouted: self._routed,
            ev.PlanClosed: self._planned,
            ev.NodeStarted: self._started,
            ev.NodeCompleted: self._completed,
            ev.NodeFailed: self._failed,
            ev.NodeCancelled: self._cancelled,
            ev.AggregationStarted: self._writing,
            ev.RunCompleted: self._run_completed,
            ev.RunFailed: self._run_failed,
        }

    def observe(self, event: ev.Event) -> None:
        """Take note of an event."""
        if isinstance(event, ev.RunStarted):
            self._run_started(event)
        elif (take := self._takers.get(type(event))) and (tree := self._trees.get(getattr(event, "run", ""))):
            take(tree, event)

    # --- the run -----------------------------------------------------------------------------------------------------

    def _run_started(self, event: ev.RunStarted) -> None:
        attributes: _Attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": _PROVIDER,
            "gen_ai.agent.name": event.team,
            "compllm.run.id": event.run,
            "compllm.planner": event.planner,
            **({"enduser.id": sound(event.user)} if event.user else {}),
            **self._content("input", "user", event.question),
        }
        nothing_above = trace.set_span_in_context(trace.INVALID_SPAN)
        root = self._tracer.start_span(f"invoke_agent {event.team}", nothing_above, attributes=attributes)
        self._trees[event.run] = tree = _Tree(root)
        tree.stages["plan"] = self._below(tree, "plan", SpanKind.INTERNAL, {})

    def _planned(self, tree: _Tree, event: ev.PlanClosed) -> None:
        del event
        tree.stages["plan"].set_attribute("compllm.plan.steps", len(tree.parents))
        tree.stages["plan"].end()

    def _writing(self, tree: _Tree, event: ev.AggregationStarted) -> None:
        tree.stages["answer"] = self._below(tree, "answer", SpanKind.INTERNAL, {"compllm.aggregator": event.aggregator})

    def _run_completed(self, tree: _Tree, event: ev.RunCompleted) -> None:
        attributes = _usage(event.prompt_tokens, event.completion_tokens) | {"compllm.gaps": len(event.gaps)}
        tree.root.set_attributes(attributes | self._content("output", "assistant", event.answer))
        del self._trees[event.run]
        tree.end()

    def _run_failed(self, tree: _Tree, event: ev.RunFailed) -> None:
        self._fail(tree.root, "run_failed", event.reason)
        del self._trees[event.run]
        tree.end()

    # --- its nodes ---------------------------------------------------------------------------------------------------

    def _added(self, tree: _Tree, event: ev.NodeAdded) -> None:
        tree.parents[event.node], tree.questions[event.node] = event.parents, event.text

    def _routed(self, tree: _Tree, event: ev.NodeRouted) -> None:
        tree.questions[event.node] = event.question

    def _started(self, tree: _Tree, event: ev.NodeStarted) -> None:
        attributes: _Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _PROVIDER,
            "gen_ai.request.model": event.model,
            "gen_ai.agent.name": event.expert,
            "compllm.node": event.node,
            "compllm.attempt": event.attempt,
            "compllm.device": event.device,
            **self._content("input", "user", tree.questions.get(event.node, "")),
        }
        uses = [tree.last[parent] for parent in tree.parents.get(event.node, ()) if parent in tree.last]
        links = [Link(span.get_span_context()) for span in uses]
        tree.last[event.node] = self._below(tree, f"chat {event.model}", SpanKind.CLIENT, attributes, links)

    def _completed(self, tree: _Tree, event: ev.NodeCompleted) -> None:
        if span := tree.last.get(event.node):
            span.set_attributes(self._answered(event.answer))
            span.end()

    def _failed(self, tree: _Tree, event: ev.NodeFailed) -> None:
        if span := tree.last.get(event.node):
            self._fail(span, "expert_failed", event.reason)
            span.end()

    def _cancelled(self, tree: _Tree, event: ev.NodeCancelled) -> None:
        if span := tree.last.get(event.node):
            self._fail(span, "cancelled", "")
            span.end()

    def _answered(self, answer: SubAnswer) -> _Attributes:
        return {
            "gen_ai.response.time_to_first_chunk": answer.ttft_s,
            "compllm.passages": len(answer.passages),
            **_usage(answer.prompt_tokens, answer.completion_tokens),
            **self._content("output", "assistant", answer.text),
        }

    # --- spans -------------------------------------------------------------------------------------------------------

    def _below(
        self, tree: _Tree, name: str, kind: SpanKind, attributes: _Attributes, links: Sequence[Link] = ()
    ) -> Span:
        above = trace.set_span_in_context(tree.root)
        return self._tracer.start_span(name, above, kind, attributes, links)

    def _fail(self, span: Span, kind: str, reason: str) -> None:
        """Mark a span as failed; a reason may quote what was asked, so it counts as content."""
        span.set_attribute("error.type", kind)
        span.set_status(Status(StatusCode.ERROR, sound(reason) if self._with_content else None))

    def _content(self, direction: str, role: str, text: str) -> _Attributes:
        if not self._with_content:
            return {}
        message = {"role": role, "parts": [{"type": "text", "content": sound(text)}]}
        return {f"gen_ai.{direction}.messages": json.dumps([message], ensure_ascii=False)}


def _usage(prompt_tokens: int, completion_tokens: int) -> _Attributes:
    return {"gen_ai.usage.input_tokens": prompt_tokens, "gen_ai.usage.output_tokens": completion_tokens}


@contextmanager
def exported_traces() -> Iterator[Traces]:
    """Yield the observer whose traces go to the collector that the `OTEL_*` variables name."""
    resource = Resource({"service.name": "compllm"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield Traces(provider.get_tracer("compllm"), with_content=wants_content())
    finally:
        provider.shutdown()
