"""From rank 0's file of displays to outputs of the cell: what is published, what is left out."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ddp_magic.displays import FollowedDisplays, followed
from ddp_magic.events import Cleared, Displayed, Notice
from ddp_magic.rundir import RunDir
from ddp_magic.views.exhibits import Exhibits
from ddp_magic.worker import publisher as publishing
from ddp_magic.worker.publisher import Printer, Publisher
from tests.display import FakeDisplay


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run-1")


def text(words: str) -> dict[str, str]:
    return {"text/plain": words}


def shown(events: list[Any]) -> list[Any]:
    """Return what the events publish, in short."""
    told: list[Any] = []
    for event in events:
        match event:
            case Displayed(update=True):
                told.append((event.display_id, event.data["text/plain"]))
            case Displayed():
                told.append(event.data["text/plain"])
            case Cleared():
                told.append("wait" if event.wait else "clear")
            case Notice():
                told.append(event.text.split(":")[0].split(";")[0])
    return told


def all_of(run: RunDir) -> list[Any]:
    return list(FollowedDisplays(run).read(whole=True))


def test_what_is_displayed_is_published_with_its_metadata(run):
    publisher = Publisher(run)
    before = time.time()
    publisher.publish(text("é\ud800"), {"image/png": {"width": 3}}, transient={"display_id": "a"})
    (event,) = all_of(run)

    assert event.data == text("é\\ud800")
    assert (event.metadata, event.display_id) == ({"image/png": {"width": 3}}, "a")
    assert before <= event.time <= time.time()
    assert run.displays().stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("bad", ["text", {"text/plain": object()}, {("a",): "b"}])
def test_what_is_no_bundle_is_refused_where_it_is_displayed(run, bad):
    with pytest.raises(TypeError):
        Publisher(run).publish(bad)

    assert all_of(run) == []


def test_a_process_that_the_program_forked_prints(run, capfd):
    publisher = Publisher(run)
    child = os.fork()
    if child == 0:
        publisher.publish(text("of the child"))
        publisher.publish({"text/html": "x"})
        publisher.clear_output()
        os._exit(0)
    os.waitpid(child, 0)

    assert capfd.readouterr().out == "of the child\n"
    assert all_of(run) == []


def test_other_ranks_print_displays_and_not_their_updates(capfd):
    printer = Printer()
    printer.publish(text("a"), {}, transient={"display_id": "x"}, update=False)
    printer.publish(text("b"), {}, transient={"display_id": "x"}, update=True)
    printer.publish({"text/html": "c"})
    printer.clear_output(wait=True)

    assert capfd.readouterr().out == "a\n"


D, U, C = "display", "update", "clear"
FLOODS: dict[str, tuple[list[tuple[str, str, str]], list[Any]]] = {
    "plain ones": ([(D, "", "a"), (D, "", "b")], ["a", "b"]),
    "the newest update": (
        [(D, "x", "0"), *((U, "x", str(n)) for n in range(100)), (D, "", "end")],
        ["0", ("x", "99"), "end"],
    ),
    "of two": (
        [(D, "x", "0"), (D, "y", "1"), (U, "x", "2"), (U, "y", "3"), (U, "x", "4")],
        ["0", "1", ("y", "3"), ("x", "4")],
    ),
    "cleared in between": (
        [(D, "x", "0"), (U, "x", "1"), (C, "wait", ""), (D, "", "2"), (U, "x", "3")],
        ["wait", "2", ("x", "3")],
    ),
    "a loop that clears": (
        [each for n in range(50) for each in ((C, "wait", ""), (D, "", str(n)))],
        ["wait", "49"],
    ),
    "cleared at the end": ([(D, "", "a"), (C, "", "")], ["clear"]),
    "of another cell": (
        [(U, "other", "0"), (U, "other", "1"), (C, "", ""), (D, "", "2")],
        [("other", "1"), "clear", "2"],
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_of_a_flood_what_would_be_seen_is_published(run, name):
    written, published = FLOODS[name]
    publisher = Publisher(run)
    for kind, named, words in written:
        if kind == C:
            publisher.clear_output(wait=named == "wait")
        else:
            publisher.publish(text(words), transient={"display_id": named}, update=kind == U)

    assert shown(all_of(run)) == published


def test_a_display_waits_for_the_text_before_it_and_a_page_for_its_turn(run, monkeypatch):
    monkeypatch.setattr(followed, "_SETTLED", 3600)
    publisher, reader = Publisher(run), FollowedDisplays(run)
    publisher.publish(text("a"))
    assert list(reader.read()) == []
    monkeypatch.setattr(followed, "_SETTLED", 0)
    monkeypatch.setattr(followed, "_PERIOD", 0)
    reader = FollowedDisplays(run)
    assert shown(list(reader.read())) == ["a"]
    monkeypatch.setattr(followed, "_RATE", 1)
    publisher.publish(text("b"))
    assert shown(list(reader.read())) == ["b"]
    publisher.publish(text("c"))
    assert list(reader.read()) == []
    assert shown(list(reader.read(whole=True))) == ["c"]


def test_many_outputs_are_published_a_few_at_a_time_and_only_so_many(run, monkeypatch):
    monkeypatch.setattr(followed, "_SETTLED", 0)
    publisher, reader = Publisher(run), FollowedDisplays(run)
    for number in range(2 * followed._OUTPUTS):
        publisher.publish(text(str(number)))
    first = list(reader.read())
    rest = list(reader.read(whole=True))

    assert len(first) == followed._AT_ONCE
    assert [e.data["text/plain"] for e in first + rest if isinstance(e, Displayed)] == [
        str(number) for number in range(followed._OUTPUTS)
    ]
    (said,) = [e.text for e in rest if isinstance(e, Notice)]
    assert said.startswith("Rank 0 displayed more than 500 outputs or 64 MB; ")
    publisher.clear_output()
    publisher.publish(text("there is room again"))
    assert shown(list(reader.read(whole=True))) == ["clear", "there is room again"]


def test_an_output_that_is_too_large_is_text(run, monkeypatch):
    monkeypatch.setattr(publishing, "_ONE", 1000)
    monkeypatch.setattr(followed, "_BYTES", 150)
    publisher = Publisher(run)
    publisher.publish({"image/png": "x" * 5000, **text("a figure")})
    publisher.publish({"image/png": "x" * 5000, **text("another")}, transient={"display_id": "u"})
    publisher.publish(text("y" * 200), transient={"display_id": "u"}, update=True)
    publisher.publish(text("z"), transient={"display_id": "u"}, update=True)
    told = shown(all_of(run))

    assert told == ["Rank 0 displayed an output of 0 MB", "a figure", "another", ("u", "z")]


def test_files_that_were_read_go_and_a_kernel_that_reads_nothing_costs_little(run, monkeypatch):
    monkeypatch.setattr(publishing, "_SEGMENT", 1000)
    monkeypatch.setattr(followed, "_OUTPUTS", 1000)
    publisher = Publisher(run)
    for number in range(200):
        publisher.publish(text(f"{number:0100}"))
    files = list(run.logs.glob("displays*"))
    size = sum(path.stat().st_size for path in files)
    again = Publisher(run)  # of another attempt
    again.publish(text("lost too"))
    reader = FollowedDisplays(run)
    told = list(reader.read(whole=True))
    publisher.publish(text("last"))
    again.publish(text("and of the next attempt"))
    told += reader.read(whole=True)

    assert len(files) == publishing._BEHIND
    assert size < 6000
    numbers = [int(e.data["text/plain"]) for e in told[:-3]]
    assert numbers == list(range(len(numbers)))
    assert shown(told[-3:]) == [
        "Rank 0 displays faster than it can be shown", "last", "and of the next attempt",
    ]  # fmt: skip
    assert len(list(run.logs.glob("displays*"))) == 1


def test_what_a_program_writes_into_the_file_itself_is_passed_over(run):
    head = [time.time(), "display", "", 0, 0]
    bodies = [
        "nonsense", "[]", '["a", {}]', "[" * 100_000,
        '[{"text/plain": 1, "<b>": "x", "a/b": "c"}, {}]',
        '[{"text/html": ["a", "b"], "text/x": ["a", 1], "application/json": {"a": 1}}, {}]',
    ]  # fmt: skip
    lines = ["nonsense", '{"a": 1}\t[]', "[1, 2]", *(f"{json.dumps(head)}\t{b}" for b in bodies)]
    run.displays().write_text("\n".join(lines) + "\n[1")

    assert [event.data for event in all_of(run)] == [
        {"a/b": "c"},
        {"text/html": ["a", "b"], "application/json": {"a": 1}},
    ]


def test_of_a_widget_the_text_is_shown_and_why_is_said_once(run):
    publisher = Publisher(run)
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, **text("HBox()")}
    publisher.publish(view)
    publisher.publish(view)
    notice, first, second = all_of(run)

    assert "widget" in notice.text
    assert first.data == second.data == text("HBox()")


def play(display: FakeDisplay, *steps: tuple[str, str, str]) -> None:
    exhibits = Exhibits(display)
    for kind, name, words in steps:
        if kind == C:
            exhibits.handle(Cleared(time=0, wait=name == "wait"))
        elif kind == "settle":
            exhibits.settle()
        else:
            update = kind == U
            exhibits.handle(
                Displayed(
                    time=0, data=text(words), metadata={"m": words}, display_id=name, update=update
                )
            )
    exhibits.settle()


PAGES: dict[str, tuple[list[tuple[str, str, str]], list[list[str]]]] = {
    "in order": ([(D, "", "a"), (D, "", "b")], [["a"], ["b"]]),
    "an update": ([(D, "x", "a"), (D, "", "b"), (U, "x", "c")], [["a", "c"], ["b"]]),
    "a second under one id": (
        [(D, "x", "a"), (D, "x", "b"), (U, "x", "c")],
        [["a", "b", "c"], ["b", "c"]],
    ),
    "cleared at once": ([(D, "", "a"), (C, "", ""), ("settle", "", "")], [["a", ""]]),
    "a place for the next": ([(D, "", "a"), (C, "", ""), (D, "", "b")], [["a", "", "b"]]),
    "cleared by the next": ([(D, "", "a"), (C, "wait", ""), (D, "", "b")], [["a", "b"]]),
    "and never": ([(D, "", "a"), (C, "wait", "")], [["a"]]),
    "frames of two": (
        [
            (D, "", "a"),
            (D, "", "b"),
            (C, "wait", ""),
            (D, "", "c"),
            (D, "", "d"),
            ("settle", "", ""),
        ],
        [["a", "c"], ["b", "d"]],
    ),
    "a smaller one": (
        [(D, "", "a"), (D, "", "b"), (C, "wait", ""), (D, "", "c"), ("settle", "", "")],
        [["a", "c"], ["b", ""]],
    ),
    "an update of what is gone": (
        [(D, "x", "a"), (C, "wait", ""), (D, "", "b"), (U, "x", "c")],
        [["a", "b"]],
    ),
}


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_shows(name):
    steps, outputs = PAGES[name]
    display = FakeDisplay()
    play(display, *steps)

    assert [[data["text/plain"] for data in h.shown] for h in display.handles] == outputs
    assert display.replaced == {}
    for handle in display.handles:
        last = handle.shown[-1]["text/plain"]
        assert handle.metadata == ({"m": last} if last else {})


def test_an_update_of_what_another_cell_shows_reaches_it():
    display = FakeDisplay()
    play(display, (U, "of the notebook", "a"))

    assert display.handles == []
    assert display.replaced == {"of the notebook": (text("a"), {"m": "a"})}


def test_a_terminal_keeps_what_it_printed():
    display = FakeDisplay(is_terminal=True)
    play(display, (D, "", "a"), (C, "", ""), (D, "", "b"))

    assert [len(handle.shown) for handle in display.handles] == [1, 1]
