"""What a page is sent: only news, bounded, and little to a page that does not answer."""

from __future__ import annotations

import json

import pytest

from ddp_magic.events import Metrics, Notice, RunState, StateChanged
from ddp_magic.metrics.series import LIMIT
from ddp_magic.screen import LIVE_ROWS
from ddp_magic.views.feed import ALL, WHOLE_LINES, Feed
from ddp_magic.views.pace import LINES, SILENT, SILENT_LINES, Pace
from ddp_magic.views.picture import Picture
from tests.display import ended, out, started

T = 1000.0


class Page:
    """A page that gets a feed's messages, on a clock of its own."""

    def __init__(self, *, answers: bool = True) -> None:
        self.picture = Picture()
        self.feed = Feed(self.picture)
        self.answers = answers
        self.now = T
        self.got: list[dict] = []
        self.picture.handle(started())

    def wait(self, seconds: float, *, each=lambda: None) -> list[dict]:
        """Let time pass in ticks of 0.05 s, and return the messages of it."""
        before = len(self.got)
        for _ in range(round(seconds * 20)):
            self.now += 0.05
            each()
            self.picture.settle(self.now)
            if message := self.feed.message(self.now):
                self.got.append(message)
                if self.answers:
                    self.feed.acknowledged = message["n"]
        return self.got[before:]

    def say(self, text: str, rank: int = 0) -> None:
        self.picture.handle(out(text, rank))


def lines(messages, rank=0):
    return [line for m in messages for r in m["ranks"] if r["r"] == rank for line in r["lines"]]


def test_the_first_message_tells_everything_about_the_run_and_later_ones_only_news():
    page = Page()
    [first] = page.wait(0.1)
    assert first["facts"]["state"] == "starting"
    assert first["facts"]["workers"] == "2 workers on CPU"
    assert first["facts"]["overrides"] == ["lr=0.05 → Trainer(lr)"]

    assert page.wait(20) == []
    page.picture.handle(StateChanged(time=T, state=RunState.RUNNING))
    [second] = page.wait(1)
    assert second["facts"]["state"] == "running"
    assert second["ranks"] == []


def test_every_line_is_sent_once_and_its_live_form_before():
    page = Page()
    page.say("one\ntwo\n\rstep 1")
    messages = page.wait(2)
    page.say("\rstep 2")
    messages += page.wait(2)

    assert lines(messages) == ["one", "two"]
    assert messages[0]["ranks"][0]["live"] == ["one", "two", "step 1"]
    news = {"r": 0, "end": 2, "lines": [], "times": [], "live": ["step 2"]}
    assert messages[-1]["ranks"][0] == news


def numbers(page, *values, name="loss"):
    for value in values:
        page.picture.handle(Metrics(time=page.now, rank=0, step=None, values=((name, value),)))


def test_of_a_curve_only_what_is_new_is_sent_and_all_of_it_once_it_is_thinned():
    page = Page()
    numbers(page, 3.0, 2.0)
    [first] = [m["curves"] for m in page.wait(1) if "curves" in m]
    numbers(page, 1.0)
    numbers(page, 7.0, name="acc")
    [second] = [m["curves"] for m in page.wait(1) if "curves" in m]
    assert [(c["name"], c["from"], c["y"], c["last"]) for c in first] == [("loss", 0, [3, 2], "2")]
    assert [(c["name"], c["from"], c["y"]) for c in second] == [("loss", 2, [1]), ("acc", 0, [7])]

    numbers(page, *range(LIMIT))
    [third] = [m["curves"] for m in page.wait(1) if "curves" in m]
    assert third[0]["from"] == 0
    assert len(third[0]["y"]) == (LIMIT + 3) // 2
    assert page.feed.snapshot(page.now)["curves"][0]["y"] == third[0]["y"]


def test_what_was_read_from_the_output_leaves_the_page_once_something_is_logged():
    page = Page()
    read = (("loss", 9.0), ("train loss", 8.0))
    for _ in range(3):
        page.picture.handle(Metrics(time=T, rank=0, step=None, values=read, logged=False))
    page.wait(1)
    numbers(page, 1.0)
    [message] = [m for m in page.wait(1) if "curves" in m]

    assert message["gone"] == ["train loss"]
    assert [(c["name"], c["from"], c["y"]) for c in message["curves"]] == [("loss", 0, [1])]


def test_a_training_that_reports_every_step_costs_the_page_little():
    page = Page()
    sent = page.wait(60, each=lambda: numbers(page, *(i / 7 for i in range(200))))

    assert sum(len(json.dumps(m)) for m in sent) < 60 * 20_000


def test_lines_carry_the_time_at_which_they_came():
    page = Page()
    page.picture.handle(out("a\nb\n", time=T + 1))
    page.picture.handle(out("c\n", time=T + 2))
    page.wait(2)

    assert page.feed.snapshot(page.now)["ranks"][0]["times"] == [(2, T + 1), (1, T + 2)]


def test_who_looks_at_all_ranks_gets_all_of_them_at_full_speed():
    page = Page()
    speak = lambda: [page.say("x\n" * 100, rank) for rank in (0, 1)]  # noqa: E731
    page.wait(3, each=speak)
    page.feed.watched = ALL
    before = len(page.got)
    page.wait(3, each=speak)

    assert len(lines(page.got[:before], 1)) < 500
    assert len(lines(page.got[before:], 1)) > 4000


def test_without_news_a_message_goes_every_half_minute_only():
    page = Page()
    page.wait(1)

    assert len(page.wait(100)) == 3


def test_a_flood_is_ten_messages_a_second_of_bounded_size():
    page = Page()
    messages = page.wait(3, each=lambda: page.say("".join(f"{n} {'x' * 70}\n" for n in range(999))))

    assert 29 <= len(messages) <= 30
    assert max(len(lines([m])) for m in messages) == LINES
    assert max(len(json.dumps(m)) for m in messages) < 30_000
    [last] = page.wait(0.1)
    assert last["ranks"][0]["end"] == page.picture.ranks[0].total


@pytest.mark.parametrize("text", ["x" * 3000, '\x1b[31m"<\x1b[0m' * 90, "\x00\u202e" * 900])
def test_heavy_lines_are_bounded_too(text):
    page = Page()
    messages = page.wait(0.5, each=lambda: page.say(f"{text}\n" * 300))

    assert max(len(json.dumps(m, ensure_ascii=False).encode()) for m in messages) < 150_000


def test_a_rank_that_nobody_looks_at_is_sent_twice_a_second_and_less():
    page = Page()

    def both():
        page.say("zero\n" * 20)
        page.say("one\n" * 20, 1)

    messages = page.wait(4, each=both)
    assert len([m for m in messages for r in m["ranks"] if r["r"] == 1]) <= 9
    assert len(lines(messages, 1)) < len(lines(messages, 0)) / 4

    page.feed.watched = 1
    messages = page.wait(4, each=both)
    assert len([m for m in messages for r in m["ranks"] if r["r"] == 1]) >= 39


def test_a_page_that_falls_behind_is_asked_for_a_sign_of_life_until_it_gives_one():
    page = Page()
    page.wait(1, each=lambda: page.say("x\n"))
    page.answers = False
    page.wait(3, each=lambda: page.say("x\n"))
    assert not page.feed.behind
    asked = page.wait(20, each=lambda: page.say("x\n"))
    assert page.feed.behind
    assert [m["ranks"] for m in asked[-2:]] == [[], []]
    missed = page.picture.ranks[0].total

    page.answers = True
    page.feed.acknowledged = asked[-1]["n"]
    [first] = page.wait(0.05)
    assert not page.feed.behind
    assert first["ranks"][0]["end"] == missed
    assert len(first["ranks"][0]["lines"]) == LINES
    assert len(page.wait(2, each=lambda: page.say("x\n"))) >= 19


def test_a_page_that_is_closed_for_an_hour_costs_nothing_and_misses_nothing_of_the_end():
    page = Page()
    page.wait(1)
    page.answers = False
    page.wait(4, each=lambda: page.say("x\n"))
    sent = page.wait(3600, each=lambda: page.say("y\n"))
    numbers(page, 1.0)
    page.feed.asked = True
    [answer] = page.wait(0.05)

    assert sum(len(json.dumps(m)) for m in sent) < 150_000
    assert page.now - T > 3600
    assert len(sent) >= 3600 / 31, "the server's culler hears of the kernel"
    assert len(lines([answer])) == WHOLE_LINES
    assert answer["curves"][0]["y"] == [1]


def test_a_page_that_never_answered_gets_little_after_a_minute():
    page = Page(answers=False)
    early = page.wait(SILENT - 1, each=lambda: page.say("x\n"))
    page.wait(2, each=lambda: page.say("x\n" * 99))
    late = page.wait(10, each=lambda: page.say("x\n" * 99))

    assert len(early) > 9 * SILENT
    assert len(late) <= 20
    assert max(len(lines([m])) for m in late) == SILENT_LINES


def test_a_page_that_asks_gets_everything_at_once():
    page = Page()
    page.say("".join(f"{n}\n" for n in range(500)))
    page.picture.handle(Notice(time=T, text="told"))
    page.wait(5)
    page.feed.asked = True
    [answer] = page.wait(0.05)

    assert answer["answer"] is True
    assert answer["facts"]["notices"] == [["told", False]]
    assert lines([answer]) == [str(n) for n in range(500)]
    assert lines([page.feed.snapshot(page.now)]) == [str(n) for n in range(300, 500)]


def test_what_a_page_gets_that_is_loaded_in_the_middle_is_bounded():
    page = Page()
    page.wait(1)
    for rank in range(8):
        page.say(f"{'x' * 300}\n" * 3000, rank)
    page.feed.asked = True
    [answer] = page.wait(0.05)

    assert len(json.dumps(answer)) < 500_000
    assert 500 < len(lines([answer])) < 600, "rank 0, which is shown"
    assert 90 < len(lines([answer], 7)) < 110


def test_the_end_of_a_run_is_in_its_facts():
    page = Page()
    page.say("a" + "\n" * LIVE_ROWS)
    page.picture.handle(ended(summary="all well"))
    facts = page.feed.snapshot(page.now + 99)["facts"]

    assert (facts["state"], facts["final"], facts["elapsed"]) == ("succeeded", True, 4.2)
    assert facts["summary"] == "all well"


def test_colours_are_pieces_and_everything_is_neutral():
    page = Page()
    page.say("👩 \x1b[1;31mred\u202e\x1b[0m\x1b]0;t\x07 end\x1b[48;2;1;2;3mx\n")
    page.picture.handle(Notice(time=T, text="a\x1b[2J\nb\u202e"))
    [message] = page.wait(0.1)

    assert message["ranks"][0]["live"] == [
        ["👩 ", ["red�", 1, -1, 1], " end", ["x", -1, 256 + 0x010203, 0]]
    ]
    assert message["facts"]["notices"] == [["a b�", False]]


def test_a_page_that_never_answers_costs_no_memory():
    pace = Pace(T)
    for number in range(5000):
        pace.sent(number, T + number)

    assert len(pace._waiting) <= 1000
