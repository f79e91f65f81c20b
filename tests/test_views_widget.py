"""The widget view without a page: its outputs, its state, and what a page may tell it."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
import sys
import tracemalloc

import pytest

from ddp_magic import views
from ddp_magic.events import Detached, RunState, StateChanged
from ddp_magic.rundir import RunDir
from ddp_magic.views import logfile, page
from ddp_magic.views.html import HtmlView
from ddp_magic.views.plain import PlainView
from ddp_magic.views.revive import revival
from ddp_magic.views.widget import KEPT_PANELS, WidgetView
from tests.display import FakeControls, FakeDisplay, ended, out, started

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def display():
    return FakeDisplay()


@pytest.fixture
def controls():
    return FakeControls()


@pytest.fixture
def stops(controls):
    return controls.pressed


@pytest.fixture
def view(display, controls):
    view = WidgetView(display, controls)
    view.handle(started())
    yield view
    for panel in WidgetView._kept:
        panel.close()
    WidgetView._kept.clear()


def heard(view, message):
    """Deliver a message of the page."""
    view._heard(view._panel, message, [])


def test_a_saved_notebook_has_a_readable_record_and_a_panel_without_words(view, display):
    view.handle(out("epoch 1\n"))
    view.tick(1001.0)
    record, panel, _ = display.handles

    assert "epoch 1" in record.shown[-1]["text/plain"]
    hidden = re.match(r'<div class="(ddp-magic-[0-9a-f]{12})">', record.shown[-1]["text/html"])
    assert hidden
    assert hidden[1] == view._panel.record_class
    assert panel.shown[0]["text/plain"] == ""
    assert panel.shown[0][VIEW]["model_id"] == view._panel.model_id


def test_the_record_is_refreshed_every_ten_seconds_where_something_changed(view, display):
    for tick in range(600):
        if tick < 300:
            view.handle(out(f"{tick}\n"))
        view.tick(1001.0 + tick / 10)

    assert len(display.handles[0].shown) == 1 + 1 + 3


def test_a_page_that_is_closed_for_an_hour_costs_next_to_nothing(view, display, monkeypatch):
    sent = []
    monkeypatch.setattr(view._panel, "send", lambda message, *_: sent.append(message))

    def go_on(first, last, *, answers=False):
        for second in range(first, last):
            view.handle(out(f"at {second}\n" * 20))
            view.tick(1001.0 + second)
            if answers:
                heard(view, {"t": "ack", "n": view._feed._number})

    go_on(0, 20, answers=True)
    tracemalloc.start()
    go_on(20, 200)
    drawn, told = len(display.handles[0].shown), len(sent)
    before = tracemalloc.get_traced_memory()[0]
    go_on(200, 3600)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert sum(len(json.dumps(message)) for message in sent[told:]) < 100_000
    assert len(display.handles[0].shown) == drawn, "the record rests"
    assert grown < 500_000
    go_on(3600, 3603, answers=True)
    assert len(display.handles[0].shown) > drawn
    assert "at 3601\n" in display.handles[0].shown[-1]["text/plain"]


def test_at_the_end_the_record_stands_alone(view, display):
    view.handle(out("last words"))
    view.handle(ended())
    view.close()
    record, panel, revival = display.handles

    assert panel.shown[-1] == revival.shown[-1] == {"text/plain": ""}
    assert "ddp-magic-" not in record.shown[-1]["text/html"].replace("/tmp/ddp_magic-x", "")
    assert "succeeded" in record.shown[-1]["text/plain"]
    assert "last words" in record.shown[-1]["text/plain"]


def test_the_state_is_made_when_it_is_asked_for(view):
    assert view._panel.get_state("snapshot")["snapshot"]["facts"]["run"] == "run-3"
    view.handle(out("later\n"))

    assert view._panel.get_state()["snapshot"]["ranks"][0]["live"] == ["later"]
    assert "snapshot" not in view._panel.get_state("record_class")


def test_a_page_asks_beside_the_cells_where_it_is_heard(view, display, stops, monkeypatch):
    assert view._panel.beside
    display.heard[view._panel.record_class]({"t": "stop", "kill": False})
    assert stops == ["stop"]
    view._panel.close()
    assert display.heard == {}

    monkeypatch.setattr(FakeDisplay, "hear", lambda *_: None)
    elsewhere = WidgetView(FakeDisplay(), FakeControls())
    assert not elsewhere._panel.beside
    elsewhere._panel.close()


def test_a_page_that_missed_the_end_asks_for_the_record(view, display, monkeypatch):
    sent = []
    monkeypatch.setattr(view._requests, "_send", lambda message, _: sent.append(message))
    heard(view, {"t": "record"})
    assert sent == [], "there is none before the end"
    view.handle(ended())
    view.close()
    heard(view, {"t": "record"})

    assert sent == [{"record": display.handles[0].shown[-1]}]


def test_stop_interrupts_and_a_second_one_kills(view, stops):
    heard(view, {"t": "stop", "kill": False})
    assert stops == ["stop"]
    view.handle(StateChanged(time=1002.0, state=RunState.STOPPING))
    heard(view, {"t": "stop", "kill": False})
    assert stops == ["stop"], "a first press that comes late must not kill"
    heard(view, {"t": "stop", "kill": True})

    assert stops == ["stop", "stop"]


def test_a_stop_that_arrives_after_the_run_does_nothing(view, stops):
    view.handle(ended())
    view.close()
    heard(view, {"t": "stop", "kill": False})
    heard(view, {"t": "stop", "kill": True})

    assert stops == []


@pytest.mark.parametrize(
    "message",
    [
        {},
        [],
        None,
        "stop",
        {"t": "stop"},
        {"t": "ack", "n": "1"},
        {"t": "watch", "r": None},
        {"t": 7},
    ],
)
def test_a_message_that_is_none_of_ours_is_ignored(view, stops, message):
    heard(view, message)
    view.tick(1001.0)

    assert stops == []


def test_what_revives_a_run_cannot_end_its_script_early_and_needs_a_server(view, display):
    html = display.handles[2].shown[0]["text/html"]

    assert html.count("<script>") == html.count("</script>") == html.count("<script") == 1
    assert html.endswith("</script>")
    assert '"kernel": "5c8e-aa"' in html
    assert view._panel.comm.comm_id in html
    assert revival("ddp-magic-0", "c", "") == {"text/plain": ""}
    assert revival("ddp-magic-0", "c", "../5c8e") == {"text/plain": ""}


def test_buttons_reach_the_run(view, stops):
    heard(view, {"t": "extend", "s": 60})
    heard(view, {"t": "extend", "s": 10**9})
    heard(view, {"t": "extend", "s": -1})
    heard(view, {"t": "background"})

    assert stops == [("extend", 60), "background"]


def test_stacks_and_a_whole_log_are_sent_to_the_page_that_asks(view, tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr(
        view._requests, "_send", lambda message, buffers: sent.append((message, buffers))
    )
    run = RunDir.create(tmp_path / "run-3")
    view.handle(started(log_dir=str(run.logs)))
    run.log(0, "stdout").write_bytes(b"one\n")
    run.log(0, "stdout", 7).write_bytes(b"later\n")
    run.log(0, "stdout", 12).write_bytes(b"last\n")
    run.log(0, "stderr").write_bytes(b"warned\n")
    heard(view, {"t": "stacks"})
    heard(view, {"t": "log", "r": 0})
    heard(view, {"t": "log", "r": 2})

    assert sent[0] == ({"stacks": "Rank 0: nowhere"}, [])
    log = b"".join(part for message, buffers in sent[1:] for part in buffers)
    assert log == b"one\nlater\nlast\n\n---- stderr ----\nwarned\n"
    assert [message.get("last") for message, _ in sent[1:]][-2:] == [None, True]
    assert {message["log"] for message, _ in sent[1:]} == {0}


def test_of_a_long_log_the_end_is_sent(tmp_path, monkeypatch):
    monkeypatch.setattr(logfile, "LIMIT", 10)
    run = RunDir.create(tmp_path / "run-3")
    run.log(0, "stdout").write_bytes(b"0123456789")
    run.log(0, "stdout", 1).write_bytes(b"abcdef")

    assert b"".join(logfile.pieces(str(run.logs), 0)) == b"6789abcdef"


def test_the_code_that_goes_to_the_page_with_every_run_is_small():
    [packed] = re.findall(r'atob\("([A-Za-z0-9+/=]+)"\)', page.module())

    assert len(page.module().encode()) + len(page.style().encode()) <= 26_000
    assert gzip.decompress(base64.b64decode(packed)).decode() == page.script()


def test_what_is_left_out_of_the_code_is_nothing_that_it_says():
    files = [(path.suffix, path.read_text("utf-8")) for path in page._PANEL.iterdir()]
    scripts = "\n".join(text for suffix, text in files if suffix == ".js")
    sent = page.script() + page.revive()

    said = re.findall(r'"[^"\n]*"|`[^`\n]*`', re.sub(r"//.*", "", scripts))
    assert len(said) > 300
    assert [words for words in said if words not in sent] == []
    assert all(text.endswith("}\n") for suffix, text in files if suffix == ".css"), "a whole rule"


def test_old_panels_are_closed_and_the_last_stay_open(view, display):
    later = [WidgetView(display, FakeControls()) for _ in range(KEPT_PANELS + 1)]
    for each in later:
        each.close()
    assert [v._panel.comm is None for v in (view, *later)] == [False, True, False, False, False]

    view.close()  # the run that went on in the background
    assert [v._panel.comm is None for v in (view, *later)] == [False, True, True, False, False]


def test_a_page_knows_what_it_may_offer_and_how_long_the_grace_is(view):
    view.handle(started(time=1000.0))
    assert (facts(view)["detached"], facts(view)["grace"]) == (False, None)
    assert "background" in facts(view)["can"]

    view.handle(Detached(time=1001.0))
    view.handle(StateChanged(time=1002.0, state=RunState.STOPPING, until=1032.0))
    assert (facts(view)["detached"], facts(view)["grace"]) == (True, 30.0)
    assert "background" not in facts(view)["can"]
    view.handle(ended(time=1003.0))
    assert facts(view)["grace"] is None


def facts(view):
    return view._snapshot()["facts"]


def test_a_run_is_shown_again_by_its_panel_and_in_the_end_by_its_record(view):
    assert view.bundle()[VIEW]["model_id"] == view._panel.model_id
    view.handle(ended())
    view.close()

    assert "succeeded" in view.bundle()["text/html"]
    assert VIEW not in view.bundle()


def test_make_gives_the_view_of_each_kind(display, view, monkeypatch):
    assert isinstance(views.make("plain", display, FakeControls()), PlainView)
    assert isinstance(views.make("html", display, FakeControls()), HtmlView)
    assert isinstance(views.make("widget", display, FakeControls()), WidgetView)
    monkeypatch.setitem(sys.modules, "ddp_magic.views.widget", None)
    assert isinstance(views.make("widget", display, FakeControls()), HtmlView)


def test_text_views_import_no_widgets():
    program = (
        "import sys; from ddp_magic.views import html, plain, record\n"
        "assert not {'anywidget', 'ipywidgets', 'IPython'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
