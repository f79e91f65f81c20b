"""Which rank is named as the culprit, and what is said of it: tables of what ranks left behind."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from ddp_magic import failure
from ddp_magic.follow import Ending
from ddp_magic.rundir import RunDir

if TYPE_CHECKING:
    from pathlib import Path

OWN, UNFINISHED, LOST_PEER, STOPPED = range(4)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run-1")


def told(
    run: RunDir,
    rank: int,
    error: str,
    *,
    kind: int = OWN,
    time: float = 1.0,
    attempt: int = 0,
    code: int = 1,
) -> None:
    """Write what a rank records of its error; the text may stand for a whole traceback."""
    name, _, message = error.partition(": ")
    record: dict[str, Any] = {
        "rank": rank, "attempt": attempt, "time": time, "kind": kind, "type": name,
        "message": message, "traceback": f"Traceback ...\n{error}\n", "code": code,
    }  # fmt: skip
    run.error(rank, attempt).write_text(json.dumps(record))


def ending(*, agent: int | None = 1, **facts: Any) -> Ending:
    """Return an ending; of a rank that is not announced nothing was heard."""
    made = Ending()
    made.agent = agent
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def explain(
    run: RunDir, end: Ending, size: int = 2, *, oom: int = 0, held: str = ""
) -> tuple[failure.Failure | None, str]:
    return failure.explain(run, end, size, oom_kills_before=oom, held_by_kernel=lambda: held)


GLOO = "RuntimeError: [gloo/transport/tcp/pair.cc:553] Connection closed by peer"
CAUSES = {
    "the earliest of two": ([("ValueError: a", OWN, 2.0), ("KeyError: b", OWN, 1.0)], 1),
    "a cause before its victim, though later": (
        [(GLOO, LOST_PEER, 1.0), ("ValueError: a", OWN, 9.0)],
        1,
    ),
    "an unfinished error before a lost peer": (
        [(GLOO, LOST_PEER, 1.0), ("ValueError: a", UNFINISHED, 9.0)],
        1,
    ),
    "an own one before an unfinished": (
        [("ValueError: a", UNFINISHED, 1.0), ("KeyError: b", OWN, 9.0)],
        1,
    ),
    "a lost peer before a stopped rank": (
        [("SystemExit: 143", STOPPED, 1.0), (GLOO, LOST_PEER, 9.0)],
        1,
    ),
}


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_is_the_lowest_kind_then_the_earliest(run: RunDir, name: str):
    errors, culprit = CAUSES[name]
    for rank, (error, kind, time) in enumerate(errors):
        told(run, rank, error, kind=kind, time=time)
    cause, text = explain(run, ending(announced={0: 1, 1: 1}))

    assert cause is not None
    assert cause.rank == culprit
    assert text.startswith(f"Rank {culprit} of 2 failed: {errors[culprit][0]}\n\nTraceback ...")


def test_the_other_ranks_are_folded_by_what_happened_to_them(run: RunDir):
    told(run, 0, "ValueError: diverged", time=1.0)
    for rank in (1, 2, 3):
        told(run, rank, "ValueError: diverged", time=2.0)
    told(run, 4, "KeyError: 'x'", time=3.0)
    told(run, 5, GLOO, kind=LOST_PEER)
    told(run, 6, "SystemExit: 143", kind=STOPPED, code=143)
    heard = {**dict.fromkeys(range(7), 1), 7: None, 8: 0}
    _, text = explain(run, ending(announced=heard, killed={7}), 9)

    assert text.split("\n\n")[-1].splitlines() == [
        "Ranks 1, 2, 3 failed in the same way.",
        "Rank 4 failed too: KeyError: 'x'.",
        f"Rank 5 lost its peer ({GLOO}).",
        "Ranks 6, 7 were stopped.",
    ]


ENDS = {
    "SIGKILL": (-9, "it was killed by SIGKILL", "Nothing here sent it"),
    "SIGSEGV": (-11, "it crashed with SIGSEGV", ""),
    "a real-time signal": (-40, "it crashed with signal 40", ""),
    "os._exit(7)": (7, "it left with exit code 7 and without an exception", "os._exit()"),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_rank_that_leaves_without_a_word_is_explained_by_its_exit_code(run: RunDir, name: str):
    code, line, text = ENDS[name]
    end = ending(announced={0: 143, 1: None}, codes={1: code}, gone={0: 2.0, 1: 1.0})
    told(run, 0, "SystemExit: 143", kind=STOPPED, code=143)
    cause, said = explain(run, end, oom=failure.oom_kills())

    assert cause is not None
    assert (cause.rank, cause.line, cause.time) == (1, line, 1.0)
    assert text in cause.text
    assert said.endswith("Rank 0 was stopped.")


def test_a_killed_rank_is_one_that_memory_ran_out_for_where_the_system_counted_a_kill(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(failure, "oom_kills", lambda: 7)
    _, text = explain(run, ending(announced={0: None}, codes={0: -9}, gone={0: 1.0}), 1, oom=5)

    assert "The machine ran out of memory: its kernel killed 2 process(es)." in text


def test_the_system_counts_its_kills():
    assert failure.oom_kills() >= 0


CRASH = """epoch 3
Fatal Python error: Segmentation fault

Thread 0x00007f7c046ff6c0 (most recent call first):
  File "/site/ddp_magic/worker/lifeline.py", line 48 in wait
  File "/lib/python3.11/threading.py", line 982 in run

Current thread 0x00007f7c06025b80 (most recent call first):
  File "Cell In[14]", line 3 in <module>
  File "/site/ddp_magic/worker/program.py", line 140 in _run

Extension modules: numpy.core._multiarray_umath, torch._C (total: 2)
"""


def test_a_crash_shows_the_notebooks_line_and_nothing_of_ours(run: RunDir):
    run.log(0, "stderr").write_text(CRASH)
    _, text = explain(run, ending(announced={0: None}, codes={0: -11}, gone={0: 1.0}), 1)

    assert text == (
        "Rank 0 of 1 failed: it crashed with SIGSEGV\n\n"
        "The end of its stderr:\nepoch 3\nFatal Python error: Segmentation fault\n\n"
        "Current thread 0x00007f7c06025b80 (most recent call first):\n"
        '  File "Cell In[14]", line 3 in <module>'
    )


def test_a_rank_that_nccl_has_aborted_is_a_victim(run: RunDir):
    run.log(0, "stderr").write_text(
        "terminate called after throwing an instance of 'c10::DistBackendError'\n"
        "  what(): NCCL error: remote process exited or there was a network error\n"
    )
    told(run, 1, "ValueError: diverged", time=9.0)
    end = ending(announced={0: None, 1: 1}, codes={0: -signal.SIGABRT}, gone={0: 1.0, 1: 9.5})
    cause, text = explain(run, end)

    assert cause is not None
    assert cause.line == "ValueError: diverged"
    assert text.endswith("Rank 0 lost its peer (it crashed with SIGABRT).")


def test_gpu_memory_that_this_kernel_holds_is_named_where_a_rank_ran_out_of_it(run: RunDir):
    told(run, 0, "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
    end = ending(announced={0: 1})
    held = "this kernel itself holds 9.1 GiB of cuda:0"

    assert explain(run, end, 1)[1].endswith("2.00 GiB")
    assert explain(run, end, 1, held=held)[1].endswith(
        "This kernel itself holds 9.1 GiB of cuda:0. Free it with `del` and "
        "torch.cuda.empty_cache(), or use a smaller batch."
    )


EXITS = {
    "a number": ("3", 3, "it called sys.exit(3)"),
    "a text": ("bad config:\nno lr", 1, "it called sys.exit(bad config:)"),
    "nothing to say": ("", 1, "it called sys.exit(1)"),
}


@pytest.mark.parametrize("name", EXITS)
def test_sys_exit_is_said_on_one_line(run: RunDir, name: str):
    message, code, line = EXITS[name]
    told(run, 0, f"SystemExit: {message}", code=code)
    cause, _ = explain(run, ending(announced={0: code}), 1)

    assert cause is not None
    assert cause.line == line


def test_a_message_that_begins_with_an_empty_line_is_told_by_its_first_words(run: RunDir):
    told(run, 0, "ProcessRaisedException: \n\n-- Process 1 terminated with the following error:")
    cause, _ = explain(run, ending(announced={0: 1}), 1)

    assert cause is not None
    assert cause.line == "ProcessRaisedException: -- Process 1 terminated with the following error"


def test_a_rank_that_left_the_collectives_early_is_named_as_the_reason(run: RunDir):
    told(run, 0, GLOO, kind=LOST_PEER)
    _, text = explain(run, ending(announced={0: 1, 1: 0}))

    assert (
        "Rank 1 had reached the end of the cell while rank 0 was still in this collective" in text
    )
    assert "same collectives" in text


def test_a_rank_that_is_not_early_is_not_blamed_for_anothers_own_error(run: RunDir):
    told(run, 0, "ValueError: x")
    _, text = explain(run, ending(announced={0: 1, 1: 0}))

    assert text == "Rank 0 of 2 failed: ValueError: x\n\nTraceback ...\nValueError: x"


def test_a_rank_that_leaves_with_0_in_the_middle_of_the_cell_has_failed(run: RunDir):
    end = ending(agent=0, announced={0: 0, 1: None}, gone={0: 2.0, 1: 1.0})
    cause, text = explain(run, end)

    assert cause is not None
    assert cause.rank == 1
    assert text.startswith("Rank 1 of 2 failed: it left with exit code 0 before the cell was over")


def test_an_error_that_could_not_be_written_is_still_a_failure(run: RunDir):
    run.log(1, "stderr").write_text("OSError: disk full\n")
    cause, text = explain(run, ending(announced={0: 0, 1: 1}))

    assert cause is not None
    assert cause.rank == 1
    assert "exit code 1, and its error could not be written" in text
    assert "OSError: disk full" in text


def test_errors_of_an_earlier_attempt_do_not_count(run: RunDir):
    told(run, 0, "ValueError: first", attempt=0)
    told(run, 1, "ValueError: second", attempt=1)
    cause, _ = explain(run, ending(announced={0: 0, 1: 1}, attempt=1))

    assert cause is not None
    assert cause.line == "ValueError: second"


def test_a_record_that_was_cut_off_is_none(run: RunDir):
    run.error(0, 0).write_text('{"rank": 0, "ki')
    cause, _ = explain(run, ending(announced={0: 3}), 1)

    assert cause is not None
    assert cause.line.startswith("it left with exit code 3")


def test_no_failure_where_nothing_is_known(run: RunDir):
    assert explain(run, ending(agent=None)) == (None, "")
    assert explain(run, ending(agent=0, announced={0: 0, 1: 0})) == (None, "")
