"""Whatever the OpenAPI document admits, and what it does not, is answered as it says and without a server error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis import checks as kinds

from tests.serve.conftest import MakeTeam
from tests.serve.serving import Served, serving

CHECKS = [
    kinds.not_a_server_error,
    kinds.status_code_conformance,
    kinds.content_type_conformance,
    kinds.response_schema_conformance,
]
BOUNDED = settings(
    max_examples=6,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def served(make_team: MakeTeam) -> Iterator[Served]:
    with serving(make_team()) as running:
        yield running


def test_no_request_is_answered_with_a_server_error(served: Served) -> None:
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    with served.client() as client:
        run = client.post("/v1/runs", json={"question": "What is the heart pulse?"}).json()["id"]
    served.wait(served.service.runs._runs[run].ended)
    statuses: dict[str, set[int]] = {}
    with requests.Session() as session:
        for found in schema.get_all_operations():
            _check(found, run, session, statuses)
    assert len(statuses) == 13
    assert {200, 202, 400, 404} <= set().union(*statuses.values())


def _check(found: Any, run: str, session: requests.Session, statuses: dict[str, set[int]]) -> None:
    operation = found.ok()
    takes_something = operation.body or operation.path_parameters or operation.query
    modes = [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if takes_something else [])]
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

    @BOUNDED
    @given(cases, st.sampled_from(["clinic", "heart", "words", None]), st.sampled_from([run, run, None]))
    def check(case: Any, model: str | None, run_id: str | None) -> None:
        # Names that are there: what is invented has none.
        for part in (case.body, case.path_parameters):
            for name, value in {"model": model, "run_id": run_id}.items():
                if value and isinstance(part, dict) and name in part:
                    part[name] = value
        response = case.call(session=session, timeout=20)
        case.validate_response(response, checks=CHECKS)
        statuses.setdefault(operation.label, set()).add(response.status_code)

    check()
