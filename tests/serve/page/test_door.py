"""Who may see the page, and from where it may be used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from playwright.async_api import expect

from compllm.config import ServerConfig
from compllm.errors import AccessDeniedError, TooManyRequestsError
from compllm.serve.callers import Caller
from compllm.serve.keys import KeyedAccess, hash_of
from tests.serve.conftest import MakeTeam
from tests.serve.page.conftest import OpenWindow, open_site
from tests.wiring import GatedFake

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

ALICE, BOB = Caller("alice"), Caller("bob")


class Keys:
    """Lets those in who have a key, and nobody while it is full."""

    def __init__(self, **callers: Caller) -> None:
        self.callers = callers
        self.is_full = False
        self.addresses: set[str] = set()

    @asynccontextmanager
    async def admit(self, key: str, address: str) -> AsyncIterator[Caller]:
        self.addresses.add(address)
        if self.is_full:
            raise TooManyRequestsError("too many", retry_after_s=6.2)
        if key not in self.callers:
            raise AccessDeniedError("no such key")
        yield self.callers[key]


# --- in the browser --------------------------------------------------------------------------------------------------


async def test_a_key_opens_the_page_and_stays_with_the_server(make_team: MakeTeam, window: OpenWindow) -> None:
    keys = Keys(alices_secret=ALICE)
    async with open_site(make_team(), keys) as site, window(site) as page:
        await page.goto("/runs")
        await page.get_by_label("API key").fill("a wrong one")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_have_text("The server does not know this key.")
        await page.get_by_label("API key").fill("alices_secret")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("History")
        (cookie,) = await page.context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        assert "alices_secret" not in cookie["value"] + page.url + await page.content()
        assert await page.evaluate("document.cookie") == ""
        assert keys.addresses == {"127.0.0.1"}
        await page.get_by_role("button", name="Sign out").click()
        await page.goto("/experts")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


async def test_signing_in_leads_back_to_where_one_came_from(make_team: MakeTeam, window: OpenWindow) -> None:
    async with open_site(make_team(), Keys(secret=ALICE)) as site, window(site) as page:
        run = site.service.runs.start("What is the heart pulse?", ALICE)
        await run.ended()
        await page.goto(f"/runs/{run.id}")
        await page.get_by_label("API key").fill("secret")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#answer .text")).to_have_text("WHAT IS THE HEART PULSE?")


async def test_a_page_that_follows_a_run_says_when_the_connection_is_lost(
    make_team: MakeTeam, window: OpenWindow
) -> None:
    keys = Keys(secret=ALICE)
    fake = GatedFake("What")
    async with open_site(make_team(one=fake), keys) as site, window(site) as page:
        await page.goto("/")
        await page.get_by_label("API key").fill("secret")
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_label("Question").fill("What is the heart pulse?")
        await page.route("**/live", lambda route: route.abort())
        await page.get_by_role("button", name="Ask").click()
        await expect(page.locator("#connection")).to_be_visible()
        await page.unroute("**/live")
        await expect(page.locator("#connection")).to_be_hidden()
        fake.let("What")
        await expect(page.locator("#answer .text")).to_have_text("What is the heart pulse?")


# --- without one -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def signed_in(url: str, key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.post("/sign-in", data={"key": key})).status_code == 303
        yield client


async def test_nobody_sees_cancels_or_finds_the_run_of_another_key(make_team: MakeTeam) -> None:
    fake = GatedFake("What", answers=str.upper)
    async with open_site(make_team(one=fake), Keys(a=ALICE, b=BOB)) as site, signed_in(site.url, "b") as bob:
        run = site.service.runs.start("What is the heart pulse?", ALICE)
        for path in (f"/runs/{run.id}", f"/runs/{run.id}/live", f"/compare?run={run.id}&run={run.id}"):
            assert (await bob.get(path)).status_code == 404
        await bob.post(f"/runs/{run.id}/cancel")
        fake.let("What")
        assert (await run.ended())[-1].event.kind == "run_completed"
        assert run.id not in (await bob.get("/runs")).text
        async with signed_in(site.url, "a") as alice:
            assert run.id in (await alice.get("/runs")).text
            assert (await alice.get(f"/runs/{run.id}")).status_code == 200


async def test_without_a_key_every_page_leads_to_the_sign_in(make_team: MakeTeam) -> None:
    async with open_site(make_team(), Keys(a=ALICE)) as site, httpx.AsyncClient(base_url=site.url) as client:
        for path in ("/", "/runs", "/runs/1", "/runs/1/live", "/experts", "/experts/live", "/compare"):
            response = await client.get(path)
            assert (response.status_code, response.headers["location"]) == (303, f"/sign-in?next={path}")
        for path in ("/ask", "/runs/1/cancel"):
            assert (await client.post(path)).headers["location"] == "/sign-in?next=/"
        assert "clinic" not in (await client.get("/sign-in")).text


async def test_a_session_ends_with_its_key(make_team: MakeTeam) -> None:
    keys = Keys(a=ALICE)
    async with open_site(make_team(), keys) as site, signed_in(site.url, "a") as client:
        assert (await client.get("/")).status_code == 200
        keys.callers = {}
        assert (await client.get("/")).status_code == 303


async def test_too_many_requests_are_told_when_to_come_again(make_team: MakeTeam) -> None:
    keys = Keys(a=ALICE)
    keys.is_full = True
    async with open_site(make_team(), keys) as site, httpx.AsyncClient(base_url=site.url) as client:
        for response in (await client.get("/"), await client.post("/sign-in", data={"key": "a"})):
            assert (response.status_code, response.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://["}, {"Sec-Fetch-Site": "cross-site"}],
)
async def test_other_sites_cannot_make_a_browser_ask(make_team: MakeTeam, headers: dict[str, str]) -> None:
    async with open_site(make_team()) as site, httpx.AsyncClient(base_url=site.url) as client:
        for path in ("/ask", "/runs/1/cancel", "/sign-in", "/sign-out"):
            response = await client.post(path, data={"question": "What is the heart pulse?"}, headers=headers)
            assert response.status_code == 403
            assert "set-cookie" not in response.headers
        assert list(site.service.team.journal.runs()) == []
        own = await client.post("/ask", data={"question": "What is it?"}, headers={"Origin": site.url})
        assert own.status_code == 303


@pytest.mark.parametrize("target", ["//[", "/\\[", "http://[::1", "//evil.example/x", "https://evil.example"])
async def test_signing_in_leads_nowhere_else(make_team: MakeTeam, target: str) -> None:
    async with open_site(make_team(), Keys(a=ALICE)) as site, httpx.AsyncClient(base_url=site.url) as client:
        assert 'name="next" value="/"' in (await client.get("/sign-in", params={"next": target})).text
        assert (await client.post("/sign-in", data={"key": "a", "next": target})).headers["location"] == "/"


async def test_no_page_runs_fetches_or_is_framed_by_what_is_not_ours(make_team: MakeTeam) -> None:
    async with open_site(make_team()) as site, httpx.AsyncClient(base_url=site.url) as client:
        for path in ("/", "/runs", "/runs/unknown", "/experts", "/compare", "/sign-in"):
            headers = (await client.get(path)).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self';")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["cache-control"] == "no-store"


async def test_what_is_no_form_or_too_large_is_refused(make_team: MakeTeam) -> None:
    async with open_site(make_team()) as site, httpx.AsyncClient(base_url=site.url) as client:
        for body in (b"\xff\xfe", b"question=" + b"a" * 5_000_000, b"&".join([b"a=b"] * 30), b"question=%00"):
            response = await client.post("/ask", content=body)
            assert response.status_code == 400
            assert "Ask the team" in response.text


async def test_a_stream_ends_with_its_run(make_team: MakeTeam) -> None:
    async with open_site(make_team()) as site, httpx.AsyncClient(base_url=site.url) as client:
        run = site.service.runs.start("What is the heart pulse?", Caller())
        with anyio.fail_after(20):
            response = await client.get(f"/runs/{run.id}/live")
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.text.rstrip().endswith("event: end\ndata:")
        assert response.text.count("event: end") == 1


async def test_a_page_that_is_followed_is_one_of_the_requests_of_its_key(make_team: MakeTeam) -> None:
    config = ServerConfig.model_validate({"keys": [{"name": "a", "hash": hash_of("a"), "concurrency": 1}]})
    async with open_site(make_team(), KeyedAccess(config)) as site, signed_in(site.url, "a") as client:
        async with client.stream("GET", "/experts/live") as response:
            lines = response.aiter_lines()
            await anext(lines)
            assert (await client.get("/")).status_code == 429
            site.service.runs.is_draining = True
            assert [line async for line in lines]
        assert (await client.get("/")).status_code == 200


async def test_the_stream_of_the_team_ends_with_the_server_so_that_the_page_comes_back(make_team: MakeTeam) -> None:
    async with open_site(make_team()) as site, httpx.AsyncClient(base_url=site.url) as client:
        with anyio.fail_after(20):
            async with client.stream("GET", "/experts/live") as response:
                lines = response.aiter_lines()
                assert await anext(lines) == "event: parts"
                site.service.runs.is_draining = True
                assert "event: end" not in [line async for line in lines]


async def test_who_wants_the_head_of_a_stream_alone_is_not_kept_waiting(make_team: MakeTeam) -> None:
    async with open_site(make_team()) as site, httpx.AsyncClient(base_url=site.url) as client:
        with anyio.fail_after(20):
            assert (await client.head("/experts/live")).headers["content-type"].startswith("text/event-stream")
            assert (await client.get("/")).status_code == 200  # on the same connection


async def test_only_so_many_pages_are_followed_at_once(make_team: MakeTeam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compllm.serve.page.door._MOST_STREAMS", 1)
    async with open_site(make_team()) as site, httpx.AsyncClient(base_url=site.url) as client:
        run = site.service.runs.start("What is the heart pulse?", Caller())
        await run.ended()
        async with client.stream("GET", "/experts/live") as response:
            lines = response.aiter_lines()
            await anext(lines)
            assert (await client.get(f"/runs/{run.id}/live")).status_code == 503
            site.service.runs.is_draining = True
            assert [line async for line in lines]
        assert (await client.get(f"/runs/{run.id}/live")).status_code == 200


async def test_a_team_that_takes_no_more_runs_says_so(make_team: MakeTeam) -> None:
    async with open_site(make_team()) as site, httpx.AsyncClient(base_url=site.url) as client:
        site.service.runs.is_draining = True
        response = await client.post("/ask", data={"question": "What is the heart pulse?"})
        assert response.status_code == 503
        assert "about to stop" in response.text
        assert "What is the heart pulse?" in response.text


async def test_who_has_enough_runs_that_go_on_keeps_the_question(make_team: MakeTeam) -> None:
    keys = Keys(a=Caller("alice", open_runs=1))
    async with open_site(make_team(one=GatedFake("What")), keys) as site, signed_in(site.url, "a") as client:
        answers = [await client.post("/ask", data={"question": "What is the heart pulse?"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [303, 429]
        assert "What is the heart pulse?" in answers[1].text
        assert "runs that go on" in answers[1].text
