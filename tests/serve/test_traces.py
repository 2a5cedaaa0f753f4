"""One tree of spans for each run."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import anyio
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from compllm.core import events as ev
from compllm.errors import ExpertResponseError
from compllm.experts.fake import FakeExpert
from compllm.planner.language import parse_plan
from compllm.serve.service import open_service
from compllm.serve.traces import Traces, exported_traces
from tests.serve.conftest import MakeTeam

pytestmark = pytest.mark.anyio
PLAN = parse_plan("1. [heart] What is pulse?\n2. [glands] What is insulin?\n3. [heart] Does #1 change #2?")
SECRET = "What is my secret?"
Traced = Callable[..., Traces]


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(exporter: InMemorySpanExporter) -> Traced:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return lambda **options: Traces(provider.get_tracer("test"), **options)


def by_name(spans: tuple[ReadableSpan, ...]) -> dict[str, list[ReadableSpan]]:
    named: dict[str, list[ReadableSpan]] = {}
    for span in spans:
        named.setdefault(span.name, []).append(span)
    return named


def of(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(name)


async def test_every_span_of_a_run_has_its_place_in_one_tree(
    make_team: MakeTeam, traced: Traced, exporter: InMemorySpanExporter
) -> None:
    team = make_team(observers=[traced()])
    async with team:
        answers = [await team.ask(SECRET, plan=PLAN, user="alice") for _ in range(2)]
    for answer in answers:
        spans = [s for s in exporter.get_finished_spans() if s.context.trace_id in trace_ids(exporter, answer.run)]
        named = by_name(tuple(spans))
        (root,) = named["invoke_agent clinic"]
        assert root.parent is None
        assert {s.parent.span_id for s in spans if s.parent} == {root.context.span_id}
        assert len(named["plan"]) == len(named["answer"]) == 1
        assert (of(root, "gen_ai.operation.name"), of(root, "enduser.id")) == ("invoke_agent", "alice")
        assert all(root.start_time <= s.start_time <= s.end_time <= root.end_time for s in spans)  # type: ignore[operator]
        chats = {of(s, "compllm.node"): s for s in [*named["chat one"], *named["chat two"]]}
        assert sorted(chats) == [1, 2, 3]  # type: ignore[type-var]
        assert all(s.kind is SpanKind.CLIENT for s in chats.values())
        assert [link.context.span_id for link in chats[3].links] == [chats[1].context.span_id, chats[2].context.span_id]
        assert of(root, "gen_ai.usage.input_tokens") == sum(
            int(str(of(s, "gen_ai.usage.input_tokens"))) for s in chats.values()
        )


def trace_ids(exporter: InMemorySpanExporter, run: str) -> set[int]:
    return {s.context.trace_id for s in exporter.get_finished_spans() if of(s, "compllm.run.id") == run}


@pytest.mark.parametrize("with_content", [False, True])
async def test_what_was_asked_and_answered_is_traced_only_when_asked_for(
    make_team: MakeTeam, traced: Traced, exporter: InMemorySpanExporter, with_content: bool
) -> None:
    broken = FakeExpert(failures={n: ExpertResponseError(f"cannot {SECRET}") for n in range(1, 20)})
    for backend in (FakeExpert(str.upper), broken):
        async with make_team(one=backend, two=backend, observers=[traced(with_content=with_content)]) as team:
            with anyio.fail_after(20):
                async for _ in team.stream(SECRET):
                    pass
    told = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert told
    assert (SECRET in told, SECRET.upper() in told) == (with_content, with_content)


async def test_half_a_character_costs_no_span(traced: Traced, exporter: InMemorySpanExporter) -> None:
    traces = traced(with_content=True)
    for event in (ev.RunStarted("r", "\ud83d?", "clinic", "rules", "\ud83d"), ev.RunFailed("r", "no \ud83d")):
        traces.observe(event)
    told = "".join(map(str, encode_spans(exporter.get_finished_spans()).resource_spans))
    assert all(word in told for word in ("enduser.id", "gen_ai.input.messages", "no ?"))


async def test_a_failed_attempt_and_a_failed_run_are_marked(
    make_team: MakeTeam, traced: Traced, exporter: InMemorySpanExporter
) -> None:
    flaky = FakeExpert(str.upper, failures={1: ExpertResponseError("not now", retryable=True)})
    async with make_team(one=flaky, observers=[traced()]) as team:
        await team.ask("What is pulse?")
    spans = by_name(exporter.get_finished_spans())
    first, second = spans["chat one"]
    assert (first.status.status_code, of(first, "error.type")) == (StatusCode.ERROR, "expert_failed")
    assert second.status.status_code is not StatusCode.ERROR
    assert spans["invoke_agent clinic"][0].status.status_code is not StatusCode.ERROR


async def test_a_cancelled_run_leaves_no_span_open(
    make_team: MakeTeam, traced: Traced, exporter: InMemorySpanExporter
) -> None:
    traces = traced()
    async with open_service(make_team(one=FakeExpert(hang=True), observers=[traces])) as service:
        team = service.team
        run = team.start("What is pulse?")
        async for stamped in team.follow(run):
            if stamped.event.kind == "node_started":
                run.cancel("enough")
    assert not traces._trees
    spans = by_name(exporter.get_finished_spans())
    assert [of(span, "error.type") for span in spans["invoke_agent clinic"]] == ["run_failed"]
    assert of(spans["chat one"][0], "error.type") == "cancelled"


class Collector(BaseHTTPRequestHandler):
    """Takes traces in as a collector does."""

    received: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.received.append((self.path, gzip.decompress(body) if self.headers["content-encoding"] else body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_traces_go_where_the_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, args=(0.01,)).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "my-clinic")
        with exported_traces() as traces:
            traces.observe(ev.RunStarted("r", SECRET, "clinic", "rules"))
            traces.observe(ev.RunFailed("r", "enough"))
        collector.shutdown()
    ((path, body),) = Collector.received
    assert path == "/v1/traces"
    assert b"invoke_agent clinic" in body
    assert b"my-clinic" in body
    assert SECRET.encode() not in body
