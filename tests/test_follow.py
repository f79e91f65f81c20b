"""A run's directory, written by hand, as events; and faulthandler's text as a person reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ddp_magic.events import Notice, OutputChunk, RunState, StateChanged, WorkerExited
from ddp_magic.follow import Follower, Tail
from ddp_magic.rundir import RunDir
from ddp_magic.stacks import without_ours

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run-1")


def write(run: RunDir, *news: dict[str, Any]) -> None:
    with open(run.events, "a") as events:
        events.writelines(json.dumps({"t": 1.0, **item}) + "\n" for item in news)


def worker(rank: int, attempt: int = 0) -> dict[str, Any]:
    return {"ev": "worker", "rank": rank, "attempt": attempt, "pid": 100 + rank}


def gone(rank: int, code: int | None, attempt: int = 0) -> dict[str, Any]:
    return {"ev": "gone", "rank": rank, "attempt": attempt, "code": code, "t": 5.0 + attempt}


def running(rank: int) -> dict[str, Any]:
    return {"ev": "running", "rank": rank, "attempt": 0}


ENDED = {"ev": "ended", "ok": True, "agent": 0, "left": [], "lost": None}


def test_a_run_is_running_once_every_rank_is(run: RunDir):
    follower = Follower(run, 2)
    write(run, worker(0), worker(1), running(1))
    assert not [e for e in follower.read() if isinstance(e, StateChanged)]

    write(run, running(0))
    assert [e.state for e in follower.read() if isinstance(e, StateChanged)] == [RunState.RUNNING]


def test_a_further_attempt_forgets_how_the_one_before_ended(run: RunDir):
    follower = Follower(run, 2)
    write(
        run,
        worker(0), worker(1), running(0), running(1),
        {"ev": "group", "used": False},
        {"ev": "killed", "ranks": [0]},
        gone(0, None), gone(1, 1),
    )  # fmt: skip
    exits = [e for e in follower.read() if isinstance(e, WorkerExited)]
    assert [(e.rank, e.exit_code) for e in exits] == [(0, None), (1, 1)]

    write(run, worker(1, 1), worker(0, 1))
    notices = [e.text for e in follower.read() if isinstance(e, Notice)]
    ending = follower.ending

    assert notices == ["Attempt 2 starts."]
    assert ending.attempt == 1
    assert (ending.announced, ending.gone, ending.codes) == ({0: None, 1: None}, {}, {})
    assert (ending.killed, ending.grouped) == (set(), None)


def test_a_line_that_is_not_whole_yet_waits(run: RunDir):
    follower = Follower(run, 1)
    text = json.dumps({"t": 1.0, **worker(0)}) + "\n"
    run.events.write_text(text[:10])
    assert list(follower.read()) == []

    run.events.write_text(text)
    assert len(list(follower.read())) == 1


def test_the_end_comes_with_all_output_before_it(run: RunDir):
    follower = Follower(run, 1)
    run.log(0, "stdout").write_bytes(b"x" * (3 << 20))
    write(run, worker(0), gone(0, 0), ENDED)
    chunks = [e for e in follower.read() if isinstance(e, OutputChunk)]

    assert sum(len(c.data) for c in chunks) == 3 << 20
    assert follower.ended
    assert follower.ending.ok


def test_nothing_is_there_yet(run: RunDir):
    assert list(Follower(run, 2).read()) == []


STACKS = {
    "our frames": (
        (
            "Current thread 0x01 (most recent call first):\n"
            '  File "Cell In[3]", line 2 in step\n'
            '  File "/x/ddp_magic/worker/rank.py", line 66 in train'
        ),
        'Current thread 0x01 (most recent call first):\n  File "Cell In[3]", line 2 in step',
    ),
    "a thread of ours": (
        (
            "Thread 0x02 (most recent call first):\n"
            '  File "/x/ddp_magic/worker/lifeline.py", line 48 in wait\n'
            '  File "/lib/threading.py", line 982 in run'
        ),
        "",
    ),
    "a thread of the user's": (
        (
            "Thread 0x03 (most recent call first):\n"
            '  File "Cell In[1]", line 4 in load\n  File "/lib/threading.py", line 982 in run'
        ),
        (
            "Thread 0x03 (most recent call first):\n"
            '  File "Cell In[1]", line 4 in load\n  File "/lib/threading.py", line 982 in run'
        ),
    ),
    "what is no stack": ("epoch 3\nloss 0.1", "epoch 3\nloss 0.1"),
    "the list of modules": ("Extension modules: numpy, torch._C (total: 2)", ""),
}


@pytest.mark.parametrize("name", STACKS)
def test_stacks_show_the_program_and_nothing_of_ours(name: str):
    text, shown = STACKS[name]

    assert without_ours(text) == shown
    assert without_ours(f"before\n\n{text}") == f"before\n\n{shown}".strip()


@pytest.mark.parametrize(
    ("lag", "first", "skipped"),
    [(1600, 100, 1901), (2001, 125, 0), (None, 2001, 0)],
    ids=["too far behind", "just within the lag", "a terminal, which shows all"],
)
def test_a_reader_that_is_too_far_behind_goes_on_with_the_newest(run, lag, first, skipped):
    run.log(0, "stdout").write_bytes(b"x" * 2001)
    chunk = Tail(run, 0, "stdout", lag).read()

    assert chunk is not None
    assert (len(chunk.data), chunk.skipped) == (first, skipped)
