"""The HTML view while a run goes on: how far it is, what it takes, why it hangs, how to stop it."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from ddp_magic.events import (
    Detached,
    Devices,
    Notice,
    Progress,
    RunState,
    Stalled,
    StateChanged,
    WorkerStarted,
)
from ddp_magic.samples import GpuSample, WorkerSample
from ddp_magic.views import escape
from ddp_magic.views.html import HtmlView
from ddp_magic.views.picture import Picture
from ddp_magic.views.record import record
from tests.display import STACKS, FakeControls, FakeDisplay, ended, out, started
from tests.test_views_escape import Parsed

RUNNING = StateChanged(time=1001.0, state=RunState.RUNNING)
SILENCE = "No rank has printed or logged for 60 s, and the workers are idle."
GPU = GpuSample(label="cuda:0 NVIDIA H200", used=1_200_000_000, total=9_500_000_000, busy=0.97)
OWN = GpuSample(label="cuda:1 X", used=45_000_000, total=10**9, busy=None, kernel=1_500_000_000)
WORKERS = tuple(WorkerSample(rank=r, cpu=1.04, memory=345_600_000) for r in range(2))
SAMPLED = Devices(time=1002.0, gpus=(GPU, OWN), workers=WORKERS)
CPUS = "rank 0 1.0 cores, 346 MB · rank 1 1.0 cores, 346 MB"
TO_STOP = "to stop: the notebook's interrupt button (■); a second time it kills"


def bar(done: float = 33, total: float = 100, left: float | None = 125, label: str = "epoch 3"):
    return Progress(time=1002.0, rank=0, label=label, done=done, total=total, left=left)


class Page:
    """A view, and what it has drawn."""

    def __init__(self, *events, stacks: str = STACKS) -> None:
        self.controls = FakeControls(stacks)
        self.display = FakeDisplay()
        self.view = HtmlView(self.display, self.controls)
        self.now = 1010.0
        self.take(started(), RUNNING, *events)

    def take(self, *events) -> None:
        for event in events:
            self.view.handle(event)
        self.now += 10
        self.view.tick(self.now)

    @property
    def count(self) -> int:
        return len(self.display.handles[0].shown)

    @property
    def html(self) -> str:
        return self.display.handles[0].shown[-1]["text/html"]

    @property
    def lines(self) -> list[str]:
        bare = re.sub(r"<[^>]*>", "", re.sub("</div>|</summary>", "\n", self.html))
        return [line for line in bare.splitlines() if line]

    @property
    def text(self) -> list[str]:
        return self.display.handles[0].shown[-1]["text/plain"].splitlines()


def test_a_run_that_goes_on_says_how_far_it_is_what_it_takes_and_how_to_stop_it():
    page = Page(SAMPLED, bar())

    assert page.lines[:5] == [
        "%%ddp run-3 running for 20.0 s · 2 workers on CPU",
        "epoch 3: 33 %, 2 min 05 s left",
        "cuda:0 1.2 GB of 9.5 GB, 97 % busy · cuda:1 45 MB of 1.0 GB, notebook 1.5 GB · " + CPUS,
        TO_STOP.replace("'", "&#x27;"),
        "lr=0.05 → Trainer(lr)",
    ]
    (progress,) = [a for tag, a in Parsed(page.html).tags if tag == "progress"]
    assert (progress["value"], progress["max"], progress["aria-label"]) == ("0.330", "1", "epoch 3")
    assert page.text[:4] == [
        "%%ddp run-3 running for 20.0 s",
        "2 workers on CPU",
        "epoch 3: 33 %, 2 min 05 s left",
        "lr=0.05 → Trainer(lr)",
    ]


def test_nothing_of_that_is_left_when_the_run_is_over():
    page = Page(SAMPLED, bar(), Stalled(time=1002.0, why=SILENCE))
    page.take(out("more\n"))
    assert "Rank 0" in page.html
    page.view.handle(ended())
    page.view.close()

    for word in ("epoch 3", "busy", "to stop", "hang", "progress", "Rank 0"):
        assert word not in page.html
    assert [line[:35] for line in page.lines][2] == "peak memory: cuda:0 1.2 GB of 9.5 G"


BARS = {
    "no label": (bar(label=""), "33 %, 2 min 05 s left"),
    "no time": (bar(left=None), "epoch 3: 33 %"),
    "a time that is none": (bar(left=float("nan")), "epoch 3: 33 %"),
    "for ever": (bar(left=1e300), "epoch 3: 33 %"),
    "over": (bar(done=120, left=0.0), "epoch 3: 100 %"),
    "below nothing": (bar(done=-5, left=-1.0), "epoch 3: 0 %"),
}


@pytest.mark.parametrize(("event", "said"), BARS.values(), ids=BARS)
def test_a_bar_in_words(event, said):
    page = Page(event)

    assert page.lines[1] == said
    assert said in page.text


@pytest.mark.parametrize("total", [0, float("nan")])
def test_a_bar_without_an_end_is_none(total):
    assert "progress" not in Page(bar(total=total)).html


def test_a_restarted_run_says_which_attempt_it_is_also_in_the_end():
    page = Page(
        WorkerStarted(time=1.0, rank=0, attempt=1, pid=1),
        Notice(time=1.0, text="Attempt 2 starts."),
    )
    assert page.lines[0].endswith(" · 2 workers on CPU · attempt 2")
    page.view.handle(ended())
    page.view.close()

    assert page.lines[0] == "%%ddp run-3 succeeded in 4.2 s · 2 workers on CPU · attempt 2"
    assert page.text[1] == "2 workers on CPU · attempt 2"


def test_a_run_that_is_stopped_says_what_comes_and_one_in_the_background_what_to_write():
    page = Page(Detached(time=1.0))
    assert "%ddp_stop run-3 interrupts it, and kills it the second time" in page.lines
    page.take(StateChanged(time=1.0, state=RunState.STOPPING, reason="30 s to finish"))

    assert not [line for line in page.lines if "ddp_stop" in line or "to stop" in line]
    assert page.lines[1] == "30 s to finish"


def test_a_hang_is_said_first_with_where_every_rank_is_which_is_asked_once():
    page = Page(Stalled(time=1002.0, why=SILENCE))
    assert page.lines[1] == f"it seems to hang: {SILENCE}"
    assert page.controls.pressed == ["stacks"], "asked after it was drawn: the answer takes a while"
    assert "Rank 0" not in page.html
    page.view.tick(page.now + 0.5)
    said = [line for line in STACKS.splitlines() if line]
    assert page.lines[2:4] == [said[0], "stacks"]
    assert page.lines[4 : 3 + len(said)] == [escape.html(line) for line in said[1:]]
    assert page.text[2:4] == [f"it seems to hang: {SILENCE}", said[0]]
    page.take(Stalled(time=1032.0, why=SILENCE.replace("60", "90")))
    assert "90 s" in page.lines[1]
    assert page.controls.pressed == ["stacks"]

    page.take(Stalled(time=1040.0, why=""))
    assert "hang" not in page.html
    assert "Rank 0" not in page.html
    page.take(Stalled(time=1100.0, why=SILENCE))
    assert page.controls.pressed == ["stacks", "stacks"]


def test_in_the_background_the_page_says_how_to_ask_again():
    page = Page(Detached(time=1.0), Stalled(time=1.0, why="x"))
    page.take()

    assert "stacks (%ddp_stacks run-3 asks again)" in page.lines


def test_a_view_goes_on_where_nobody_answers():
    page = Page()
    page.controls.stacks = lambda: 1 / 0
    page.take(Stalled(time=1.0, why="why"))
    page.take(out("more\n"))

    assert "more" in page.html


def test_numbers_and_samples_alone_are_redrawn_every_five_seconds():
    page = Page()
    before = page.count
    for tick in range(200):  # ten seconds
        page.view.handle(SAMPLED)
        page.view.handle(bar(done=tick))
        page.view.tick(page.now + tick / 20)

    assert page.count - before == 1


HUGE = "Rank 0 waits " + "<&>" * 500 + ".\n\n" + "\n\n".join(
    f"Rank {n}:\n" + f'  File "Cell In[4]", line {n} in f<{n}>\n' * 60 for n in range(64)
)  # fmt: skip


@pytest.mark.parametrize("stacks", [HUGE, "<" * 90_000, "\x1b[2J\u202e<script>$x$"])
def test_a_record_in_the_middle_is_valid_and_small_too(stacks):
    picture = Picture()
    many = Devices(time=1.0, gpus=(GPU,) * 64, workers=WORKERS * 64)
    label = "<é>" * 300
    for event in (
        started(overrides=("<é>" * 99,) * 40, devices=("cuda:1 <X>",) * 64, note="<" * 999),
        *[Notice(time=1.0, text=f"{n} " + "<é>" * 99) for n in range(30)],
        *[out("<\x1b[31mé\x1b[0m>" * 90 + "\n", rank) for rank in range(9) for _ in range(12)],
        many, bar(label=label), Stalled(time=1.0, why="<é>" * 900),
    ):  # fmt: skip
        picture.handle(event)
    data = record(picture, 1010.0, hint=TO_STOP, stacks=stacks)
    notebook = new_notebook(
        cells=[new_code_cell("", outputs=[new_output("display_data", data=data)])]
    )

    nbformat.validate(notebook)
    assert len(nbformat.writes(notebook).encode()) < 25_000
    assert "it seems to hang" in data["text/html"]
    assert "<script" not in data["text/html"]
    assert not set(data["text/html"] + data["text/plain"]) & set("\x1b\u202e")
