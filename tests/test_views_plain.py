"""The plain view: what nbclient, papermill and a terminal get."""

from __future__ import annotations

import pytest

from ddp_magic.events import (
    Notice,
    RunState,
    Stalled,
    StateChanged,
    WorkerExited,
    WorkerStarted,
)
from ddp_magic.screen import LIVE_ROWS
from ddp_magic.views.plain import BURST, LAST, PlainView
from tests.display import STACKS, FakeControls, FakeDisplay, ended, out, started

LOG = "/tmp/ddp_magic-x/run-3/logs/rank0.stdout.log"


def shown(*events, is_terminal=False, ticks=3, **options):
    """Play events to a plain view and return its display."""
    display = FakeDisplay(is_terminal=is_terminal)
    view = PlainView(display, FakeControls(), **options)
    for event in events:
        view.handle(event)
    for tick in range(ticks):
        view.tick(1001.0 + tick)
    view.handle(ended())
    view.close()
    return display


def test_stdout_holds_the_output_and_stderr_one_line_at_the_start_and_one_at_the_end():
    display = shown(started(note="first try"), out("a\nb"))

    assert display.out == "a\nb\n"
    assert display.err == (
        "%%ddp run-3 · 2 workers on CPU · lr=0.05 → Trainer(lr) · first try\n"
        "%%ddp run-3 succeeded in 4.2 s\n"
    )


def test_stderr_of_a_worker_goes_to_stderr():
    display = shown(started(), out("warning\n", stream="stderr"))

    assert display.out == ""
    assert "\nwarning\n" in display.err


def test_only_the_shown_ranks_are_written():
    display = shown(started(), out("zero\n"), out("one\n", 1))

    assert display.out == "zero\n"


def test_lines_of_several_ranks_say_whose_they_are():
    display = shown(started(shown=(0, 1)), out("zero\n"), out("one\n", 1))

    assert display.out == "[rank0] zero\n[rank1] one\n"


def test_the_prefix_can_be_asked_for_and_refused():
    assert shown(started(), out("a\n"), rank_prefix=True).out == "[rank0] a\n"
    assert shown(started(shown=(0, 1)), out("a\n"), rank_prefix=False).out == "a\n"


def test_a_bar_is_one_line_when_it_is_finished():
    bar = b"".join(b"\rstep %d/5" % n for n in range(6))
    display = shown(started(), out(bar + b"\n", stream="stderr"), out("done\n"))

    assert display.err.count("step") == 1
    assert "step 5/5\n" in display.err


def test_colours_and_escapes_do_not_reach_a_notebook():
    display = shown(
        started(), out("\x1b[31mred\x1b[0m \x1b]8;;http://x/\x07link\x1b]8;;\x07\u202e\n")
    )

    assert display.out == "red link�\n"


def test_a_terminal_gets_the_bytes_of_one_rank_as_they_are():
    display = FakeDisplay(is_terminal=True)
    view = PlainView(display, FakeControls())
    view.handle(started())
    view.handle(out(b"\rstep 1 \xe2\x96"))
    assert display.out == "\rstep 1 "
    view.handle(out(b"\x88\r\x1b[2Kstep 2"))
    view.handle(out(b"\x1b[A\n", stream="stderr"))
    assert display.out == "\rstep 1 █\r\x1b[2Kstep 2"
    assert display.err.endswith("\x1b[A\n")


def test_our_own_lines_begin_on_a_line_of_their_own_in_a_terminal():
    display = shown(started(), out("step 1"), is_terminal=True)

    assert display.out == "step 1\n"
    assert display.err.endswith("\n%%ddp run-3 succeeded in 4.2 s\n")


def test_several_ranks_in_a_terminal_are_lines_with_prefixes():
    display = shown(started(shown=(0, 1)), out("\rstep 1\rstep 2\n"), is_terminal=True)

    assert display.out == "[rank0] step 2\n"


def test_a_flood_is_cut_and_its_end_is_shown():
    count = BURST + 500
    display = shown(started(), out("".join(f"{n}\n" for n in range(count))), ticks=0)

    lines = display.out.splitlines()
    assert lines[:BURST] == [str(n) for n in range(BURST)]
    assert lines[BURST] == (f"… {500 - LAST} lines, see {LOG}")
    assert lines[BURST + 1 :] == [str(n) for n in range(count - LAST, count)]


def test_after_a_flood_lines_come_again_a_hundred_a_second():
    display = FakeDisplay()
    view = PlainView(display, FakeControls())
    view.handle(started())
    view.tick(1001.0)
    view.handle(out("".join(f"{n}\n" for n in range(BURST + 200))))
    view.tick(1003.0)  # two seconds later there is room for 200
    view.handle(out("".join(f"later {n}\n" for n in range(300))))

    lines = display.out.splitlines()[BURST:]
    assert lines[0] == f"… {200 - (LIVE_ROWS - 1)} lines, see {LOG}"
    assert lines[1] == str(BURST + 200 - (LIVE_ROWS - 1))
    assert lines[-1].startswith("later ")
    assert len(lines) == 1 + 200


def test_long_lines_count_for_more():
    display = shown(started(), out(("x" * 50_000 + "\n") * 100), ticks=0)

    assert display.out.count("\n") < 100
    assert len(display.out) < BURST * 600 + LAST * 50_000


def test_what_happens_is_said_in_lines_on_stderr():
    stopping = StateChanged(time=1.0, state=RunState.STOPPING, reason="interrupted: 30 s to finish")
    view = PlainView(display := FakeDisplay(), FakeControls())
    for event in (
        started(),
        StateChanged(time=1.0, state=RunState.RUNNING),
        Notice(time=1.0, text="tensors came back on the CPU"),
        Notice(time=1.0, text="the workers never communicated", warning=True),
        stopping,
        out(b"x", skipped=5000),
        ended(
            state=RunState.FAILED,
            duration=125.0,
            summary="ValueError",
            outputs=("history",),
            missing=("model: rank 0 was killed",),
        ),
    ):
        view.handle(event)
    view.close()

    assert display.err.splitlines()[1:] == [
        "%%ddp run-3 note: tensors came back on the CPU",
        "%%ddp run-3 warning: the workers never communicated",
        "%%ddp run-3 stopping: interrupted: 30 s to finish",
        "%%ddp run-3 failed in 2 min 05 s · in the notebook: history",
    ]
    assert display.out == f"… 5,000 bytes, see {LOG}\nx\n"


def test_what_did_not_come_back_is_said_where_no_error_says_it():
    view = PlainView(display := FakeDisplay(), FakeControls())
    view.handle(ended(missing=("model: too large",)))
    view.close()

    assert display.err.splitlines()[1:] == ["%%ddp did not bring back model: too large"]


def test_what_is_said_after_the_last_worker_left_stands_below_its_last_lines():
    view = PlainView(display := FakeDisplay(), FakeControls())
    view.handle(started(world_size=2))
    for rank in (0, 1):
        view.handle(WorkerStarted(time=1.0, rank=rank, attempt=0, pid=7))
    view.handle(out("warned\n", stream="stderr"))
    view.handle(Notice(time=1.0, text="early"))
    for rank in (0, 1):
        view.handle(WorkerExited(time=1.0, rank=rank, attempt=0, exit_code=0))
    view.handle(out("last words", stream="stderr"))
    view.handle(Notice(time=1.0, text="late"))
    view.handle(ended())
    view.close()

    assert display.err.splitlines()[1:] == [
        "%%ddp run-3 note: early",  # a line is final at the second look
        "warned",
        "last words",
        "%%ddp run-3 note: late",
        "%%ddp run-3 succeeded in 4.2 s",
    ]


def test_nothing_that_a_user_wrote_moves_the_cursor_of_our_lines():
    evil = "a\x1b[2Jb\r\n\u202ec\x07"
    display = shown(started(note=evil, overrides=(evil,)), Notice(time=1.0, text=evil))

    assert display.err.count("ab �c�") == 3
    assert not set(display.err) & set("\x1b\r\u202e\x07")


SILENCE = "No rank has printed or logged for {}, and the workers are idle."


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_hang_is_one_line_that_says_where_the_ranks_are_and_its_end_another(is_terminal):
    controls = FakeControls(STACKS)
    view = PlainView(display := FakeDisplay(is_terminal=is_terminal), controls)
    view.handle(started())
    for at, why in ((1060, SILENCE.format("60 s")), (1090, SILENCE.format("90 s")), (1122, "")):
        view.handle(Stalled(time=at, why=why))
    view.handle(Stalled(time=1300, why=SILENCE.format("60 s")))

    first = (
        "%%ddp run-3 seems to hang: No rank has printed or logged for 60 s, and the workers are "
        "idle. Rank 0 waits in all_reduce (Cell In[4], line 9); rank 1 is not there: it is at "
        "`time.sleep(600)` (Cell In[4], line 7)."
    )
    assert display.err.splitlines()[1:] == [
        first, "%%ddp run-3 goes on, 1 min 02 s after that", first
    ]  # fmt: skip
    assert controls.pressed == ["stacks", "stacks"]
    assert display.out == ""


def test_a_hang_is_said_also_where_nobody_answers():
    class Deaf(FakeControls):
        def stacks(self):
            raise BrokenPipeError

    view = PlainView(display := FakeDisplay(), Deaf())
    view.handle(Stalled(time=1.0, why="Rank 1 stands at step 7 while rank 0 is at 90."))

    assert display.err == ("%%ddp seems to hang: Rank 1 stands at step 7 while rank 0 is at 90.\n")
