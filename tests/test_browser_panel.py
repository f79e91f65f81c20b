"""The panel's parts on a real page: curves, tabs, find, download, stacks; for everybody."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.browser

PREPARE = """
import time
from tests.scripted_run import *
from ddp_magic.events import Metrics, Progress, RunState, StateChanged, WorkerExited

def reported(step, **values):
    named = tuple((name, value) for name, value in values.items())
    return Metrics(time=time.time(), rank=0, step=step, values=named)

def losses(count, factor=1.0):
    for step in range(count):
        loss = factor / (1 + step)
        yield reported(step, train_loss=loss, val_loss=2 * loss, acc=1 - loss)
"""
FIRST = """play([started(), *losses(20, 3.0), out("the run before")])"""
FULL = """
play([
    started(log_dir={logs!r}, name="fast", overrides=[f"a{{n}}=1 → a{{n}}" for n in range(10)]),
    StateChanged(time=0.0, state=RunState.RUNNING),
    out("rank 0 begins\\n"),
    out("rank 1 begins\\n", 1),
    notice("a note"),
    notice("a warning", warning=True),
    *losses(30),
    reported(30, acc=float("nan")),
    Progress(time=0.0, rank=0, label="epoch 1", done=3, total=4, left=9.0),
    Until("more"),
    out("rank 1 goes on\\n", 1),
    WorkerExited(time=0.0, rank=1, attempt=0, exit_code=1),
    Until("enough"),
])
"""
FOCUSED = """() => {
    const node = document.activeElement;
    if (!node.closest(".ddp-magic")) return null;
    const name = node.tagName === "FIGURE" ? node.innerText.split("\\n")[0]
        : node.getAttribute("aria-label") ?? node.innerText.replace(" •", "");
    return [name, getComputedStyle(node).outlineStyle];
}"""
LONG = """
def parts(count, each):
    for i in range(count):
        yield out("".join(f"line {n}\\n" for n in range(each * i, each * (i + 1))))
        yield Until(f"part-{i}")
play([started(), *parts(15, 150), out("the newest\\n"), Until("long")])
"""


@pytest.fixture(scope="module")
def lab(server):
    """One page of JupyterLab."""
    logs = server.root / "logs"
    logs.mkdir()
    (logs / "rank0.stdout.log").write_text("all of it\n")
    notebook = server.open([PREPARE, FIRST, FULL.format(logs=str(logs)), LONG])
    notebook.run(0)
    notebook.run(1)
    notebook.run(2, wait=False)
    yield notebook
    notebook.close()


@pytest.fixture(params=["light", "dark"])
def theme(lab, request):
    """One theme after the other, for what colours matter to."""
    lab.theme(dark=request.param == "dark")
    yield
    lab.theme(dark=False)


@pytest.fixture
def panel(lab):
    found = lab.output(2).locator(".ddp-magic")
    found.locator(".ddp-body", has_text="begins").wait_for()
    return found


def test_curves_of_one_quantity_share_a_chart_with_the_run_before_behind_them(lab, panel):
    charts = panel.locator(".ddp-chart")
    charts.nth(1).wait_for()
    loss = charts.first
    loss.locator(".ddp-ghost").nth(1).wait_for(state="attached")

    assert charts.count() == 2
    assert loss.locator("polyline").count() == 4
    assert re.sub(r"\s+", " ", loss.locator("figcaption").inner_text()) == (
        "loss train 0.03333 val 0.06667"
    )
    assert charts.nth(1).locator(".ddp-strange").inner_text() == "nan"
    assert panel.locator(".ddp-key").inner_text() == "train_loss 0.03333"
    assert loss.get_attribute("aria-label") == "train_loss: 0.03333, val_loss: 0.06667"
    loss.locator("svg").hover()
    loss.locator(".ddp-step", has_text=re.compile(r"step 1[45]")).wait_for()
    lab.page.mouse.move(0, 0)
    loss.locator("figcaption", has_text="0.03333").wait_for()
    axis = loss.locator(".ddp-axis")
    assert axis.inner_text().split("\n") == ["step 0", "┄ the run before", "29"]
    loss.focus()
    lab.page.keyboard.press("ArrowLeft")
    loss.locator(".ddp-step", has_text="step 28").wait_for()
    loss.blur()
    loss.locator(".ddp-step", has_text=re.compile("step 0$")).wait_for()


def test_tabs_tell_what_is_new_and_what_failed_and_all_ranks_are_one_log(lab, panel, server):
    one = panel.get_by_role("tab", name="rank 1")
    one.get_by_label("new output").wait_for()
    one.click()
    panel.get_by_text("rank 1 begins").wait_for()
    panel.get_by_role("tab", name="rank 0").click()
    one.get_by_label("new output").wait_for(state="detached")
    (server.root / "more").touch()
    one.get_by_label("failed").wait_for()
    panel.get_by_role("tab", name="all").click()
    panel.get_by_text("rank 1 goes on").wait_for()

    lines = panel.evaluate(
        """panel => [...panel.querySelectorAll('.ddp-line')].map(
            line => [getComputedStyle(line, '::before').content, line.textContent])"""
    )
    assert lines == [
        ['"0"', "rank 0 begins"], ['"1"', "rank 1 begins"], ['"1"', "rank 1 goes on"]
    ]  # fmt: skip
    lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel.get_by_role("button", name="copy").click()
    panel.get_by_text("copied").wait_for()
    assert lab.page.evaluate("navigator.clipboard.readText()") == (
        "[0] rank 0 begins\n[1] rank 1 begins\n[1] rank 1 goes on\n"
    )


def test_a_word_is_found_and_a_log_is_downloaded_whole(lab, panel):
    panel.get_by_role("tab", name="all").click()
    panel.get_by_label("Find in the output").fill("RANK 1")
    panel.get_by_text("2 lines").wait_for()
    lab.page.keyboard.press("Enter")
    lab.page.keyboard.press("Enter")
    panel.get_by_text("2 of 2 lines").wait_for()
    assert panel.locator(".ddp-hit-now").inner_text().endswith("rank 1 goes on")
    lab.page.keyboard.press("Escape")
    assert panel.locator(".ddp-hit").count() == 0

    panel.get_by_role("tab", name="rank 0").click()
    with lab.page.expect_download() as download:
        panel.get_by_role("button", name="download").click()
    assert download.value.suggested_filename == "run-3-rank0.log"
    assert download.value.path().read_text() == "all of it\n"


def test_stacks_are_shown_below_the_charts_until_they_are_closed(panel):
    panel.get_by_role("button", name="stacks").click()
    panel.get_by_text("Rank 0: nowhere").wait_for()
    panel.get_by_role("button", name="Close the stacks").click()
    panel.get_by_text("Rank 0: nowhere").wait_for(state="hidden")


def test_the_keyboard_reaches_everything_and_shows_where_it_is(lab, panel, theme):
    tabs = panel.get_by_role("tablist")
    tabs.get_by_role("tab", selected=True).focus()
    chosen = tabs.locator("[aria-selected=true]")
    for key, tab in (
        ("End", "all"),
        ("ArrowRight", "rank 0"),
        ("ArrowLeft", "all"),
        ("Home", "rank 0"),
    ):
        lab.page.keyboard.press(key)
        chosen.get_by_text(tab.removeprefix("rank ")).wait_for()
        assert chosen.inner_text().startswith(tab)
        assert chosen.evaluate("tab => tab === document.activeElement")

    assert panel.locator(".ddp-title").inner_text() == "fast"
    more = panel.get_by_text("4 more")
    assert panel.locator(".ddp-details > .ddp-override:not(details)").count() == 6
    more.focus()
    lab.page.keyboard.press("Enter")
    assert panel.locator("details[open]").inner_text().endswith("a8=1 → a8\na9=1 → a9")
    lab.page.keyboard.press("Enter")
    panel.locator("details[open]").wait_for(state="detached")

    panel.get_by_role("button", name="stacks").focus()
    reached = []
    while now := lab.page.evaluate(FOCUSED):
        reached.append(now[0])
        assert now[1] == "solid", now
        lab.page.keyboard.press("Tab")
    assert reached == [
        "stacks", "to background", "Stop", "4 more", "loss", "acc",
        "rank 0", "Find in the output", "copy", "download", "Output of rank 0",
    ]  # fmt: skip


def test_in_a_narrow_column_progress_has_a_row_and_nothing_is_cut_off(lab, panel):
    lab.page.set_viewport_size({"width": 760, "height": 900})
    lab.until("panel => panel.clientWidth < 420", panel.element_handle())
    state, bar = (panel.locator(name).bounding_box() for name in (".ddp-state", ".ddp-progress"))
    wide = panel.evaluate("panel => panel.scrollWidth > panel.clientWidth")
    lab.page.set_viewport_size({"width": 1100, "height": 900})

    assert not wide
    assert bar["y"] >= state["y"] + state["height"]
    assert (
        panel.locator(".ddp-log").evaluate(
            "log => { log.style.height = '600px'; return log.clientHeight; }"
        )
        > 590
    ), "who wants to see more drags its corner"


def test_who_follows_the_end_still_does_when_the_panel_gets_another_size(lab, panel):
    panel.get_by_role("tab", name="all").click()
    log = panel.get_by_label("Output of all ranks")
    log.evaluate("log => { log.style.cssText = 'min-height: 0; height: 20px'; }")
    lab.until(
        """log => log.scrollHeight > log.clientHeight + 9
            && log.scrollTop + log.clientHeight >= log.scrollHeight - 2""",
        log.element_handle(),
    )


def test_nobody_is_shut_out_by_it(lab, panel, theme):
    panel.locator(".ddp-chart").first.wait_for()
    found = Axe().run(lab.page, context=".ddp-magic").response["violations"]

    grave = [v for v in found if v["impact"] in ("serious", "critical")]
    assert not grave, [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in grave]


def test_a_run_that_is_being_stopped_counts_down_and_can_have_longer(lab, panel, server):
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_role("button", name="Kill").wait_for()
    panel.get_by_text(re.compile(r"interrupted: 30 s to finish · killed in 0:2\d")).wait_for()
    said = panel.get_by_role("status").all_inner_texts()
    assert "interrupted: 30 s to finish" in said
    assert not [text for text in said if "killed in" in text], "or it is read out every second"
    panel.get_by_role("button", name="Wait longer").click()
    (server.root / "enough").touch()
    lab.wait_for_end()
    assert lab.problems == []


def test_a_long_log_keeps_its_newest_lines_follows_its_end_and_finds_what_is_far_up(lab, server):
    output = lab.run(3, wait=False)
    log = output.get_by_label("Output of rank 0")
    for i in range(15):  # what comes faster than a page shows it would have gaps
        log.get_by_text(f"line {150 * i + 149}", exact=True).wait_for()
        if i < 14:
            (server.root / f"part-{i}").touch()
    kept = log.locator(".ddp-chunk .ddp-line")
    lab.until(
        "log => log.querySelectorAll('.ddp-chunk .ddp-line').length == 2000",
        log.element_handle(),
    )
    numbers = [int(text.split()[1]) for text in kept.all_text_contents() if text[:4] == "line"]
    assert numbers == sorted({*numbers})
    assert 200 < numbers[0] <= 250
    at_end = "log => log.scrollTop + log.clientHeight >= log.scrollHeight - 2"
    lab.until(at_end, log.element_handle())

    (server.root / "part-14").touch()
    log.get_by_text("the newest").wait_for()
    lab.until(at_end, log.element_handle())
    assert log.locator(".ddp-past").count() > 10, "and these are not laid out again"

    wanted = f"line {numbers[51]}"
    output.get_by_label("Find in the output").fill(wanted)
    output.get_by_label("Find in the output").press("Enter")
    found = log.get_by_text(wanted, exact=True).element_handle()
    lab.until(
        """line => {
            const [a, b] = [line, line.closest(".ddp-log")].map(n => n.getBoundingClientRect());
            return a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
        }""",
        found,
    )
    (server.root / "long").touch()
    lab.wait_for_end()
    assert lab.problems == []
