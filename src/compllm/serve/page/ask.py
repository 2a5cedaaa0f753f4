"""The page to ask on: a question, examples, and a plan of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from starlette.responses import RedirectResponse, Response

from compllm.config import TeamConfig
from compllm.core.plan import Plan
from compllm.errors import PlanError, QueueFullError, TooManyRequestsError
from compllm.planner.language import parse_plan
from compllm.serve.page.door import Visit, read_form
from compllm.serve.page.render import protected

_EXAMPLES = 3


def examples(config: TeamConfig, most: int = _EXAMPLES) -> list[str]:
    """Return questions that the team should be good at; the last one asks two experts at once."""
    first = [expert.examples[0] for expert in config.experts.values() if expert.examples]
    both = [" ".join(first[-2:])] if len(first) > 1 else []
    return [*islice(first, most), *both]


async def show_ask(visit: Visit) -> Response:
    """Show the form."""
    return _form(visit, visit.request.query_params.get("question", ""))


async def ask(visit: Visit) -> Response:
    """Begin a run and lead to its page; what cannot be asked is shown again, with the reason."""
    form = await read_form(visit.request)
    question, written = form.get("question", ""), form.get("plan", "")
    try:
        run = visit.service.runs.start(question, visit.caller, plan=_plan(written))
    except PlanError as error:
        return _form(visit, question, written, str(error), 400)
    except QueueFullError as error:
        return _form(visit, question, written, str(error), 503)
    except TooManyRequestsError as error:
        return _form(visit, question, written, str(error), 429)
    return protected(RedirectResponse(f"/runs/{run.id}", 303, {"compllm-run": run.id}))


def _plan(written: str) -> Plan | None:
    return parse_plan(written) if written.strip() else None


def _form(visit: Visit, question: str, plan: str = "", problem: str = "", status: int = 200) -> Response:
    config = visit.service.team.file.config
    shown: Sequence[str] = examples(config)
    limit = config.limits.question_characters
    return visit.page("ask", status, question=question, plan=plan, problem=problem, examples=shown, limit=limit)
