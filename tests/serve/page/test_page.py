"""The page in Chromium, on a real server with fake experts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any

import anyio
import pytest
from playwright.async_api import Page, expect

from compllm.core import events as ev
from compllm.core.answers import Passage, SubAnswer
from compllm.core.routing import Assignment, Candidate
from compllm.experts.base import ChatRequest, Chunk
from compllm.experts.fake import FakeExpert
from compllm.serve.callers import ANYBODY
from tests.serve.conftest import FILE, MakeTeam
from tests.serve.page.conftest import OpenWindow, Site, open_site
from tests.wiring import GatedFake

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

QUESTION = "What is the heart pulse, and what is insulin of glands?"
ANSWER = "WHAT IS THE HEART PULSE? [1]\nWHAT IS INSULIN OF GLANDS? [2]"
PLAN = "1. [heart] Heart first?\n2. [glands] Glands second?\n3. [heart] Then #1 or #2?"
PHONE: Mapping[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script><b>bold</b>'


class Halting(FakeExpert):
    """Writes its answer word by word and waits before the last one until it is let."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        self._words = answer.split(" ")
        self.gate = anyio.Event()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        *words, last = self._words
        for word in words:
            yield Chunk(f"{word} ")
        await self.gate.wait()
        yield Chunk(last)
        yield Chunk("", 1, len(self._words), "stop")


async def ask(page: Page, question: str, plan: str = "") -> None:
    """Ask as a reader does."""
    await page.goto("/")
    await page.get_by_label("Question").fill(question)
    if plan:
        await page.get_by_text("A plan of your own").click()
        await page.get_by_label("Plan, one step a line").fill(plan)
    await page.get_by_role("button", name="Ask").click()
    await page.wait_for_url("**/runs/*")


async def answered(site: Site, question: str = QUESTION) -> str:
    """Have a run done, and return its id."""
    run = site.service.runs.start(question, ANYBODY)
    await run.ended()
    return run.id


def badge(page: Page, node: int) -> Any:
    return page.locator(f"#node-{node} h3 .badge")


async def fits(page: Page) -> bool:
    """Whether nothing makes the page scroll sideways."""
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return bool(wide <= 0)


# --- ask and watch ---------------------------------------------------------------------------------------------------


async def test_a_question_gets_an_answer_whose_citations_lead_to_their_nodes(
    make_team: MakeTeam, window: OpenWindow
) -> None:
    async with open_site(make_team()) as site, window(site) as page:
        await ask(page, QUESTION)
        await expect(page.locator("#head .badge")).to_contain_text("answered in")
        await expect(page.locator("#answer .text")).to_have_text(ANSWER)
        await page.get_by_role("link", name="Step 2", exact=True).click()
        await expect(page.locator("#node-2:target")).to_be_visible()
        await expect(page.locator("#node-2")).to_contain_text("two on remote")
        await page.locator("#node-2 summary").first.click()
        scores = page.locator("#node-2 .scores tr")
        await expect(scores).to_have_count(2)
        await expect(scores.first).to_contain_text("glands")
        await expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


async def test_an_example_is_put_into_the_form(make_team: MakeTeam, window: OpenWindow) -> None:
    text = FILE.replace("heart and pulse.}", 'heart and pulse., examples: ["What is a pulse & a beat?"]}')
    async with open_site(make_team(text)) as site, window(site) as page:
        await page.goto("/")
        await page.get_by_role("link", name="What is a pulse & a beat?").click()
        await expect(page.get_by_label("Question")).to_have_value("What is a pulse & a beat?")


async def test_the_drawing_follows_its_nodes_from_state_to_state(make_team: MakeTeam, window: OpenWindow) -> None:
    fake = GatedFake("Heart", "Glands", answers=str.upper)
    async with open_site(make_team(one=fake, two=fake)) as site, window(site) as page:
        await ask(page, "Which?", PLAN)
        boxes = page.locator("#plan .box")
        await expect(boxes).to_have_count(3)
        await expect(boxes.nth(0)).to_have_class("box running")
        await expect(boxes.nth(2)).to_have_class("box waiting")
        await expect(page.locator("#time td.when").nth(1)).to_contain_text("since")
        fake.let("Heart")
        await expect(boxes.nth(0)).to_have_class("box completed")
        await expect(boxes.nth(1)).to_have_class("box running")
        await expect(boxes.nth(2)).to_have_class("box waiting")
        await expect(page.locator("#answer")).to_contain_text("Not yet.")
        fake.let("Glands")
        await expect(boxes.nth(2)).to_have_class("box completed")
        await expect(page.locator("#node-3 .asked")).to_have_text("Then HEART FIRST? or GLANDS SECOND??")
        await expect(page.locator("#head .badge")).to_contain_text("answered in")


async def test_steps_appear_while_the_plan_is_still_being_written(make_team: MakeTeam, window: OpenWindow) -> None:
    writer = Halting("1. [heart] Where is it?\n2. [glands] And this one? ")
    text = FILE + "planner: {kind: model, model: three}\n"
    text = text.replace(
        "experts:", '  three: {backend: endpoint, base_url: "http://127.0.0.1:9/v1", model: m}\nexperts:'
    )
    async with open_site(make_team(text, three=writer)) as site, window(site) as page:
        await ask(page, "Where?")
        await expect(badge(page, 1)).to_have_text("✓ completed")
        await expect(page.locator("#plan .box")).to_have_count(1)
        writer.gate.set()
        await expect(badge(page, 2)).to_have_text("✓ completed")
        await expect(page.locator("#plan .box")).to_have_count(2)


async def test_an_answer_is_shown_as_it_is_written(make_team: MakeTeam, window: OpenWindow) -> None:
    fake = Halting("It beats sixty times")
    async with open_site(make_team(one=fake)) as site, window(site) as page:
        await ask(page, "What is the heart pulse?")
        await expect(page.locator("#node-1 .text")).to_have_text("It beats sixty ")
        await expect(badge(page, 1)).to_have_text("▶ running")
        fake.gate.set()
        await expect(page.locator("#node-1 .text")).to_have_text("It beats sixty times")
        await expect(page.locator("#answer .text")).to_have_text("It beats sixty times")


async def test_what_the_reader_has_unfolded_and_focused_stays_so(make_team: MakeTeam, window: OpenWindow) -> None:
    fake = GatedFake("What", answers=str.upper)
    async with open_site(make_team(one=fake)) as site, window(site) as page:
        await ask(page, "What is the heart pulse?")
        why = page.locator("#node-1 summary").first
        await why.click()
        fake.let("What")
        await expect(badge(page, 1)).to_have_text("✓ completed")
        await expect(page.locator("#node-1 details").first).to_have_attribute("open", "")
        await expect(why).to_be_focused()


async def test_a_run_goes_on_over_a_reload(make_team: MakeTeam, window: OpenWindow) -> None:
    fake = Halting("It beats sixty times")
    async with open_site(make_team(one=fake)) as site, window(site) as page:
        await ask(page, "What is the heart pulse?")
        await page.reload()
        await expect(page.locator("#node-1 .text")).to_have_text("It beats sixty ")
        fake.gate.set()
        await expect(page.locator("#answer .text")).to_have_text("It beats sixty times")


async def test_cancelling_stops_what_runs(make_team: MakeTeam, window: OpenWindow) -> None:
    fake = GatedFake("Heart", "Glands")
    async with open_site(make_team(one=fake, two=fake)) as site, window(site) as page:
        await ask(page, "Which?", PLAN)
        await expect(badge(page, 1)).to_have_text("▶ running")
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#head")).to_contain_text("cancelled on the page")
        await expect(page.locator("#head .badge")).to_contain_text("■ cancelled after")
        await expect(badge(page, 1)).to_have_text("■ cancelled")
        await expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        assert fake.open_streams == 0


async def test_gaps_and_their_reasons_are_shown(make_team: MakeTeam, window: OpenWindow) -> None:
    broken = FakeExpert({})
    async with open_site(make_team(one=broken)) as site, window(site) as page:
        await ask(page, "Which?", PLAN)
        await expect(page.locator("#head .badge")).to_contain_text("answered with gaps")
        await expect(page.locator("#head")).to_contain_text("No answer to #1, #3")
        await expect(badge(page, 1)).to_have_text("✗ failed")
        await expect(page.locator("#node-1")).to_contain_text("no answer is scripted")
        await expect(page.locator("#node-3")).to_contain_text("#1 has no answer")


async def test_what_cannot_be_asked_is_shown_again_with_the_reason(make_team: MakeTeam, window: OpenWindow) -> None:
    async with open_site(make_team()) as site, window(site) as page:
        await page.goto("/")
        await page.get_by_text("A plan of your own").click()
        await page.get_by_label("Question").fill("Which?")
        await page.get_by_label("Plan, one step a line").fill("1. [heart] What of #2?")
        async with page.expect_response("**/ask") as response:
            await page.get_by_role("button", name="Ask").click()
        assert (await response.value).status == 400
        await expect(page.get_by_role("alert")).to_contain_text("#2 is not an earlier step")
        await expect(page.get_by_label("Question")).to_have_value("Which?")
        await expect(page.get_by_label("Plan, one step a line")).to_have_value("1. [heart] What of #2?")


# --- earlier runs ----------------------------------------------------------------------------------------------------


async def test_a_run_of_long_ago_is_opened_from_the_history(make_team: MakeTeam, window: OpenWindow) -> None:
    async with open_site(make_team()) as site, window(site) as page:
        await answered(site)
        site.service.runs._runs.clear()
        await page.goto("/")
        await page.get_by_role("link", name="History").click()
        await page.get_by_role("link", name=QUESTION).click()
        await expect(page.locator("#answer .text")).to_have_text(ANSWER)
        await expect(page.locator("#plan .box")).to_have_count(2)
        await expect(page.locator("[data-live]")).to_have_count(0)


async def test_the_history_is_searched(make_team: MakeTeam, window: OpenWindow) -> None:
    async with open_site(make_team()) as site, window(site) as page:
        await answered(site, "What is the heart pulse?")
        await answered(site, "What is 100% insulin?")
        await page.goto("/runs")
        await expect(page.locator(".history tbody tr")).to_have_count(2)
        await page.get_by_label("Search in questions and answers").fill("INSULIN")
        await page.get_by_role("button", name="Search").click()
        await expect(page.locator(".history tbody tr")).to_have_count(1)
        await expect(page.get_by_role("link", name="What is 100% insulin?")).to_be_visible()
        await page.get_by_label("Search in questions and answers").fill("nothing like it")
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_text("No run has “nothing like it”")).to_be_visible()


async def test_a_long_history_is_shown_bit_by_bit(
    make_team: MakeTeam, window: OpenWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compllm.serve.page.history._SHOWN", 2)
    async with open_site(make_team()) as site, window(site) as page:
        for number in range(3):
            await answered(site, f"What is pulse {number}?")
        await page.goto("/runs?search=pulse")
        await expect(page.locator(".history tbody tr")).to_have_count(2)
        await page.get_by_role("link", name="Show more").click()
        await expect(page.locator(".history tbody tr")).to_have_count(3)
        await expect(page.get_by_role("link", name="Show more")).to_have_count(0)


async def test_two_runs_are_compared_side_by_side(make_team: MakeTeam, window: OpenWindow) -> None:
    async with open_site(make_team()) as site, window(site) as page:
        await answered(site, "What is the heart pulse?")
        await answered(site)
        await page.goto("/runs")
        await page.get_by_label("Compare: What is the heart pulse?", exact=True).check()
        await page.get_by_label(f"Compare: {QUESTION}").check()
        await page.get_by_role("button", name="Compare two").click()
        await expect(page.locator(".compare tbody tr", has=page.get_by_text("#2"))).to_contain_text("glands, completed")
        await expect(page.locator(".pair section")).to_have_count(2)
        await expect(page.locator(".pair .timeline")).to_have_count(2)
        await page.locator(".pair section").first.get_by_role("link", name="Step 2").click()
        await page.wait_for_url("**/runs/*#node-2")


# --- the team --------------------------------------------------------------------------------------------------------


async def test_the_page_of_the_team_follows_what_runs(
    make_team: MakeTeam, window: OpenWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compllm.serve.page.experts._LOOK_EVERY_S", 0.05)
    fake = GatedFake("What")
    async with open_site(make_team(one=fake)) as site, window(site) as page:
        await page.goto("/experts")
        await expect(page.locator("#experts article")).to_have_count(3)
        await expect(page.locator("#resident")).to_contain_text("0 open runs")
        run = site.service.runs.start("What is the heart pulse?", ANYBODY)
        await expect(page.locator("#resident")).to_contain_text("1 open run, 1 running step")
        await expect(page.locator("#resident")).to_contain_text("1 of 3")
        fake.let("What")
        await run.ended()
        await expect(page.locator("#resident")).to_contain_text("0 open runs")


async def test_loads_and_evictions_show_in_the_memory_of_a_run(make_team: MakeTeam, window: OpenWindow) -> None:
    chosen = Assignment((Candidate("heart", "big"),), "tag", 0.9, 0.4, passed=True, reason="fits")
    happened: list[tuple[float, ev.Event]] = [
        (0.0, ev.RunStarted("old", "What?", "clinic", "rules")),
        (0.0, ev.NodeAdded("old", 1, "What?", (), chosen)),
        (0.0, ev.ModelLoading("big", "cpu")),
        (2.0, ev.ModelLoaded("big", "cpu", 200_000_000, 2.0)),
        (2.0, ev.NodeStarted("old", 1, "heart", "big", "cpu", 1)),
        (3.0, ev.NodeCompleted("old", 1, SubAnswer("This.", "heart", "big", (Passage("a.md", "A", "<b>b</b>", 0.5),)))),
        (3.0, ev.RunCompleted("old", "This.")),
        (3.0, ev.ModelEvicted("big", "cpu")),
    ]
    async with open_site(make_team()) as site, window(site) as page:
        for at_s, event in happened:
            site.service.team.journal.record("old", ev.Stamped(at_s, event))
        await page.goto("/runs/old")
        await expect(page.locator("#time th", has_text="load big")).to_be_visible()
        await expect(page.locator("#time tr", has_text="memory cpu")).to_contain_text("200 MB at most")
        await page.get_by_text("1 passage read").click()
        await expect(page.locator("#node-1 blockquote .text")).to_have_text("<b>b</b>")


async def test_a_run_that_was_cut_off_does_not_look_as_if_it_went_on(make_team: MakeTeam, window: OpenWindow) -> None:
    async with open_site(make_team()) as site, window(site) as page:
        journal = site.service.team.journal
        journal.record("old", ev.Stamped(0.0, ev.RunStarted("old", "What?", "clinic", "rules")))
        journal.flush()
        with closing(journal._connect()) as connection:
            connection.execute("UPDATE runs SET pid_started_s = 0")
        await page.goto("/runs/old")
        await expect(page.locator("#head")).to_contain_text("the program that worked on it has stopped")
        await page.goto("/runs")
        await expect(page.locator(".history .badge")).to_have_text("■ interrupted")


# --- for everybody ---------------------------------------------------------------------------------------------------


async def test_nothing_scrolls_sideways_on_a_phone(make_team: MakeTeam, window: OpenWindow) -> None:
    long_word = "pulse" * 60
    async with open_site(make_team()) as site, window(site, **PHONE) as page:
        await ask(page, f"What is the heart {long_word}?")
        await ask(page, QUESTION, "\n".join([PLAN, "4. [heart] And #3?", "5. [heart] And #4?"]))
        await expect(page.locator("#head .badge")).to_contain_text("answered in")
        assert await fits(page)
        runs = [row.id for row in site.service.team.journal.runs()]
        for path in ("/", "/runs", "/experts", f"/runs/{runs[1]}", f"/compare?run={runs[0]}&run={runs[1]}"):
            await page.goto(path)
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            assert await fits(page), path


async def test_the_keyboard_alone_is_enough_to_ask_and_to_look(make_team: MakeTeam, window: OpenWindow) -> None:
    async with open_site(make_team()) as site, window(site) as page:
        await page.goto("/")
        await expect(page.get_by_label("Question")).to_be_focused()
        await page.keyboard.type(QUESTION)
        await page.keyboard.press("Tab")
        await expect(page.get_by_text("A plan of your own")).to_be_focused()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/runs/*")
        await expect(page.locator("#head .badge")).to_contain_text("answered in")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Step 1", exact=True)).to_be_focused()
        await page.get_by_role("link", name="#1 heart, completed").focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await expect(page.locator("#node-1 summary").first).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#node-1 .scores")).to_be_visible()


async def test_every_page_has_its_landmarks_and_every_control_its_name(make_team: MakeTeam, window: OpenWindow) -> None:
    check = """() => {
        const unnamed = [...document.querySelectorAll("button, input:not([type=hidden]), textarea, a, meter")]
            .filter((each) => !(each.labels?.length || each.getAttribute("aria-label") || each.textContent.trim()));
        const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
        const broken = [...document.querySelectorAll("[aria-labelledby], [aria-describedby]")]
            .flatMap((e) => [e.getAttribute("aria-labelledby"), e.getAttribute("aria-describedby")])
            .filter((id) => id && !ids.includes(id));
        const count = (selector) => document.querySelectorAll(selector).length;
        return [unnamed.map((each) => each.outerHTML), broken, ids.length - new Set(ids).size,
                count("main"), count("h1"), count("nav[aria-label]"), document.documentElement.lang];
    }"""
    async with open_site(make_team()) as site, window(site) as page:
        run = await answered(site)
        for path in ("/", "/runs", "/experts", f"/runs/{run}", f"/compare?run={run}&run={run}"):
            await page.goto(path)
            assert await page.evaluate(check) == [[], [], 0, 1, 1, 1, "en"], path


async def test_dark_and_light_follow_the_system_and_the_switch(make_team: MakeTeam, window: OpenWindow) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    async with open_site(make_team()) as site, window(site, color_scheme="dark") as page:
        await page.goto("/")
        dark = await page.evaluate(ground)
        await page.emulate_media(color_scheme="light")
        light = await page.evaluate(ground)
        assert dark == "rgb(21, 23, 27)"
        assert light == "rgb(251, 251, 250)"
        await page.reload()
        await page.get_by_role("button", name="Dark").click()
        await expect(page.get_by_role("button", name="Light")).to_be_visible()
        await page.goto("/runs")
        assert await page.evaluate(ground) == dark


async def test_without_scripts_the_page_still_answers(make_team: MakeTeam, window: OpenWindow) -> None:
    async with open_site(make_team()) as site, window(site, java_script_enabled=False) as page:
        await ask(page, QUESTION)
        await expect(page.locator("#answer .text")).to_have_text(ANSWER)


# --- what comes from models and strangers ----------------------------------------------------------------------------


@asynccontextmanager
async def unharmed(page: Page) -> AsyncIterator[None]:
    """Fail if anything that was shown has been executed or drawn as HTML."""
    yield
    assert await page.evaluate("window.hacked") is None
    assert await page.evaluate("document.querySelectorAll('main img, main script, main b').length") == 0


async def test_html_in_questions_and_answers_is_text(make_team: MakeTeam, window: OpenWindow) -> None:
    fake = Halting(f"{HOSTILE} [1] end")
    plan = f"1. [heart] {HOSTILE} heart?\n2. [heart] And then {HOSTILE}?"
    async with open_site(make_team(one=fake, two=fake)) as site, window(site) as page:
        await ask(page, HOSTILE, plan)
        await expect(page.locator("#node-1 .text")).to_contain_text(HOSTILE)
        async with unharmed(page):
            await expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
        fake.gate.set()
        async with unharmed(page):
            await expect(page.locator("#answer .text")).to_contain_text(HOSTILE)
        runs = [row.id for row in site.service.team.journal.runs()]
        for path in (f"/runs/{runs[0]}", "/runs", f"/runs?search={HOSTILE}", f"/compare?run={runs[0]}&run={runs[0]}"):
            async with unharmed(page):
                await page.goto(path)
                await expect(page.locator("main")).to_contain_text("window.hacked=1")


async def test_marks_that_reorder_text_are_made_visible(make_team: MakeTeam, window: OpenWindow) -> None:
    async with open_site(make_team(one=FakeExpert(lambda _: "safe\u202eevil"))) as site, window(site) as page:
        await ask(page, "What is the heart pulse?")
        await expect(page.locator("#answer .text")).to_have_text("safe\ufffdevil")
