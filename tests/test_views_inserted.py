"""A line of ours in a terminal: above the bars that a worker draws there, which go on below it."""

from __future__ import annotations

import os
import shutil

import pytest

from ddp_magic.events import Notice
from ddp_magic.screen import Screen
from ddp_magic.views.inserted import Raw
from ddp_magic.views.plain import PlainView
from tests.display import FakeControls, FakeDisplay, ended, out, started

NESTED = "\router {0}\n\rinner {0}\x1b[A"
"""As tqdm draws two bars."""
LIVE = "\r\x1b[2K\x1b[1A\x1b[2K\x1b[1A\x1b[2Kone {0}\ntwo {0}\nthree {0}"
"""As rich draws three rows again."""


def seen(text: str) -> list[str]:
    """Return what stands in a terminal that got this."""
    screen = Screen()
    screen.feed(text.encode())
    return [line.text for line in screen.finish()]


class Case:
    """What a worker draws before our line and after it, and what stands there in the end."""

    def __init__(self, before: str, after: str, shown: list[str]) -> None:
        self.before, self.after, self.shown = before, after, shown


CASES = {
    "nothing": Case("", "a\n", ["OURS", "a"]),
    "whole lines": Case("a\nb\n", "c\n", ["a", "b", "OURS", "c"]),
    "the beginning of a line": Case("a\nb", "c\n", ["a", "b", "OURS", "c"]),
    "a bar": Case("\r1/3", "\r2/3\r3/3\n", ["1/3", "OURS", "3/3"]),
    "a bar below lines": Case("a\n\r1/3", "\r3/3\nz\n", ["a", "1/3", "OURS", "3/3", "z"]),
    "two bars": Case(
        "a\n" + NESTED.format(1), NESTED.format(2) + NESTED.format(3) + "\n\n",
        ["a", "OURS", "outer 3", "inner 3"],
    ),
    "three rows of rich": Case(
        "a\n" + "one 1\ntwo 1\nthree 1" + LIVE.format(2), LIVE.format(3) + LIVE.format(4) + "\n",
        ["a", "OURS", "one 4", "two 4", "three 4"],
    ),
    "bars that are over": Case(
        NESTED.format(1) + "\n\n", "z\n", ["outer 1", "inner 1", "OURS", "z"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_line_of_ours_breaks_no_bar(case: Case):
    view = PlainView(display := FakeDisplay(is_terminal=True), FakeControls())
    view.handle(started())
    begun = len(display.tty)
    view.handle(out(case.before))
    view.handle(Notice(time=1.0, text="OURS"))
    view.handle(out(case.after))
    shown = seen(display.tty[begun:])

    assert [line.replace("%%ddp run-3 note: ", "") for line in shown] == case.shown


def test_two_lines_of_ours_stand_above_the_same_bars():
    view = PlainView(display := FakeDisplay(is_terminal=True), FakeControls())
    for event in (started(), out(NESTED.format(1)), *[Notice(time=1.0, text=t) for t in "AB"]):
        view.handle(event)
    view.handle(out(NESTED.format(2)))
    view.handle(ended())
    view.close()

    assert seen(display.tty)[1:] == [
        "%%ddp run-3 note: A",
        "%%ddp run-3 note: B",
        "outer 2",
        "inner 2",
        "%%ddp run-3 succeeded in 4.2 s",
    ]


def test_a_bar_keeps_its_colours():
    raw = Raw()
    raw.add(
        "above\r\n\x1b[A\n\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mown\x1b[0m \x1b[48;5;7mon\x1b[44m"
    )
    _, after = raw.around()

    bar = "\x1b[1;38;5;1mred\x1b[0m \x1b[38;2;1;2;3mown\x1b[0m \x1b[48;5;7mon\x1b[0m"
    assert after == f"above\n{bar}\r\x1b[10C\x1b[48;5;4m"


@pytest.mark.parametrize(
    "drawn",
    ["\r" + "x" * 90, "\n".join(map(str, range(30))) + "\x1b[29A"],
    ids=["wider than the terminal", "higher than the terminal"],
)
def test_what_does_not_fit_the_terminal_stays_where_it_is(drawn, monkeypatch):
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((80, 24)))
    raw = Raw()
    raw.add(drawn)
    before, after = raw.around()

    assert set(before) == {"\n"}
    assert seen(drawn + before + "OURS\n" + after)[-1] == "OURS"
    assert after == ""


def test_of_a_flood_little_is_kept():
    raw = Raw()
    for _ in range(100):
        raw.add("x" * 999 + "\n")

    assert len(raw._text) <= 16_384
    assert raw.around() == ("", "")
