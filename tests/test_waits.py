"""Which rank is not there: from stacks of gloo workers that really hung, and of a run that does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ddp_magic.errors import RunStopped
from ddp_magic.magic import _loaded
from ddp_magic.waits import conclude, ended, wait
from tests.notebook import until

CELL = {
    6: "    time.sleep(100)",
    7: "    waiting = open('a_fifo_that_nobody_writes_to_and_whose_name_is_long').read()",
    8: "work.wait()",
    9: "    while True: pass",
}
STACKS = {
    name: re.split(r"^Rank \d:\n", text, flags=re.MULTILINE)[1:]
    for name, _, text in (
        part.partition("\n")
        for part in (Path(__file__).parent / "data" / "stacks.txt").read_text().split("== ")[1:]
    )
}
"""By what made two workers hang: the stack of each, from torch 2.13 and Python 3.11."""

CONCLUSIONS = {
    "mismatch": (
        "The ranks wait for each other in different calls: rank 0 waits in all_reduce (Cell In[4], "
        "line 7); rank 1 waits in all_gather (Cell In[4], line 9). Every rank must call the same "
        "ones in the same order."
    ),
    "sleep": (
        "Rank 0 waits in all_reduce (Cell In[4], line 8); rank 1 is not there: it is at "
        "`waiting = open('a_fifo_that_nobody_writes_to_and_whose_name…` (Cell In[4], line 7)."
    ),
    "loader": (
        "Rank 0 waits in backward, where DDP exchanges gradients (Cell In[4], line 14); rank 1 is "
        "not there: it waits for its DataLoader (Cell In[4], line 13)."
    ),
    "destroy": (
        "Rank 1 waits in barrier (Cell In[4], line 7); rank 0 is not there: it is at "
        "`time.sleep(100)` (Cell In[4], line 6)."
    ),
    "init": (
        "Rank 1 waits in init_process_group (Cell In[4], line 8); rank 0 is not there: it is at "
        "`waiting = open('a_fifo_that_nobody_writes_to_and_whose_name…` (Cell In[4], line 7)."
    ),
    "store": (
        "Rank 1 waits in all_gather_object (Cell In[4], line 8); rank 0 is not there: it is at "
        "`time.sleep(100)` (Cell In[4], line 6)."
    ),
    "backward": (
        "Rank 0 waits in backward, where DDP exchanges gradients (Cell In[4], line 10); rank 1 is "
        "not there: it is at `while True: pass` (Cell In[4], line 9)."
    ),
    "lock": (
        "Rank 0 waits in broadcast_object_list (Cell In[4], line 8); rank 1 is not there: it is at "
        "`time.sleep(100)` (Cell In[4], line 6)."
    ),
    "ddpinit": (
        "Rank 0 waits in DistributedDataParallel, which compares the ranks' models (Cell In[4], "
        "line 8); rank 1 is not there: it is at "
        "`waiting = open('a_fifo_that_nobody_writes_to_and_whose_name…` (Cell In[4], line 7)."
    ),
    "wait": (
        "Rank 0 waits in `work.wait()` (Cell In[4], line 8); rank 1 is not there: it waits for a "
        "program that it started (Cell In[4], line 6)."
    ),
    "recv": (
        "Rank 0 waits in recv (Cell In[4], line 7); rank 1 is not there: it waits at a queue "
        "(Cell In[4], line 6)."
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_the_stacks_of_a_hang_name_the_rank_that_is_not_there(name: str):
    waits = [wait(rank, stack, {"Cell In[4]": CELL}) for rank, stack in enumerate(STACKS[name])]

    assert conclude(waits) == CONCLUSIONS[name]


def stack(*frames: tuple[str, int, str]) -> str:
    lines = [f'  File "{file}", line {line} in {name}' for file, line, name in frames]
    return "\n".join(["Current thread 0x01 (most recent call first):", *lines])


TORCH = "/env/lib/python3.11/site-packages/torch"
REDUCE = (f"{TORCH}/distributed/distributed_c10d.py", 3252, "all_reduce")
BODY = ("Cell In[4]", 9, "<module>")

WAITS = {
    "a rank that does not answer": (None, "Rank 0 does not answer."),
    "a rank before or after its cell": ("", "Rank 0 is not in the cell."),
    "a stack without a line of the user's": (
        stack((f"{TORCH}/nn/modules/module.py", 1, "_call_impl")),
        "Rank 0 is in a library.",
    ),
    "a collective beyond a hundred frames": (stack(REDUCE), "Rank 0 waits in all_reduce."),
    "a module of the user's own": (
        stack(("/home/me/work/train.py", 3, "step"), BODY),
        "Rank 0 is elsewhere (train.py, line 3).",
    ),
    "a library that calls the user": (
        stack((*BODY[:2], "__getitem__"), (f"{TORCH}/utils/data/dataloader.py", 1, "x"), BODY),
        "Rank 0 is at `while True: pass` (Cell In[4], line 9).",
    ),
    "a GPU": (
        stack((f"{TORCH}/cuda/__init__.py", 1000, "synchronize"), BODY),
        "Rank 0 waits for its GPU (Cell In[4], line 9).",
    ),
    "an import": (
        stack(("<frozen importlib._bootstrap>", 241, "_call_with_frames_removed"), BODY),
        "Rank 0 imports a module (Cell In[4], line 9).",
    ),
    "a line that is not known": (
        stack(("Cell In[4]", 77, "f"), BODY),
        "Rank 0 is elsewhere (Cell In[4], line 77).",
    ),
    "a thread of the user's beside the cell": (
        (
            "Thread 0x02 (most recent call first):\n"
            '  File "Cell In[4]", line 6 in load\n'
            f'  File "/usr/lib/python3.11/threading.py", line 1 in run\n\n{stack(REDUCE, BODY)}'
        ),
        "Rank 0 waits in all_reduce (Cell In[4], line 9).",
    ),
    "what is no stack": ("Fatal Python error", "Rank 0 is not in the cell."),
}


@pytest.mark.parametrize("name", WAITS)
def test_what_one_rank_does(name: str):
    text, said = WAITS[name]

    assert conclude([wait(0, text, {"Cell In[4]": CELL})]) == said


GATHER = (f"{TORCH}/distributed/distributed_c10d.py", 4287, "all_gather")
TOGETHER = {
    "all at one place": ([stack(REDUCE, BODY)] * 3, "Every rank is in all_reduce ({9})."),
    "one call at two places": (
        [stack(REDUCE, BODY), stack(REDUCE, ("Cell In[4]", 8, "<module>"))],
        "Rank 0 waits in all_reduce ({9}); rank 1 waits in all_reduce ({8}).",
    ),
    "one of four is missing": (
        [stack(REDUCE, BODY), stack(("Cell In[4]", 6, "f"), BODY), *[stack(REDUCE, BODY)] * 2],
        (
            "Ranks 0, 2 and 3 wait in all_reduce ({9}); rank 1 is not there: it is at "
            "`time.sleep(100)` ({6})."
        ),
    ),
    "two are missing at one place": (
        [stack(REDUCE, BODY), *[stack(("Cell In[4]", 6, "f"), BODY)] * 2],
        (
            "Rank 0 waits in all_reduce ({9}); ranks 1 and 2 are not there: they are at "
            "`time.sleep(100)` ({6})."
        ),
    ),
    "two are missing at two places": (
        [stack(REDUCE, BODY), stack(("Cell In[4]", 6, "f"), BODY), None],
        (
            "Rank 0 waits in all_reduce ({9}); ranks 1 and 2 are not there: rank 1 is at "
            "`time.sleep(100)` ({6}), rank 2 does not answer."
        ),
    ),
    "some wait in two calls and one is missing": (
        [stack(REDUCE, BODY), stack(GATHER, BODY), ""],
        (
            "Rank 0 waits in all_reduce ({9}); rank 1 waits in all_gather ({9}); rank 2 is not "
            "there: it is not in the cell."
        ),
    ),
    "nobody waits": (
        [stack((f"{TORCH}/cuda/__init__.py", 1, "synchronize"), BODY)] * 2,
        "Ranks 0 and 1 wait for their GPU ({9}).",
    ),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_what_several_ranks_do(name: str):
    stacks, said = TOGETHER[name]
    waits = [wait(rank, text, {"Cell In[4]": CELL}) for rank, text in enumerate(stacks)]

    said = re.sub(r"\{(\d)\}", r"Cell In[4], line \1", said)
    assert conclude(waits) == said


def test_a_rank_that_has_left_is_not_where_the_others_wait():
    waits = [wait(0, stack(REDUCE, BODY), {}), ended(1), ended(2)]

    assert conclude(waits) == (
        "Rank 0 waits in all_reduce (Cell In[4], line 9); ranks 1 and 2 are not there: they have "
        "ended."
    )


@pytest.mark.workers
def test_a_run_that_hangs_says_which_rank_is_not_there_and_what_torch_recorded(
    forked, notebook, tmp_path
):
    """A thread stands where NCCL's monitor does: it writes torch's real recorder when asked."""
    marker = tmp_path / "rank1"
    notebook.cells(
        f"""
        import os, threading, time
        from pathlib import Path
        import torch, torch.distributed as dist
        from torch._C._distributed_c10d import _dump_fr_trace
        marker = {str(marker)!r}
        """,
        """
        def monitor(rank):
            path = f"{os.environ['TORCH_NCCL_DEBUG_INFO_PIPE_FILE']}{rank}.pipe"
            os.mkfifo(path)
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            while True:
                if os.read(fd, 1):
                    with open(f"{os.environ['TORCH_FR_DUMP_TEMP_FILE']}{rank}", "wb") as file:
                        file.write(_dump_fr_trace(True, False))  # without stacks: they cost imports
                time.sleep(0.05)
        """,
    )
    taken: list[str] = []
    runs = _loaded[id(notebook.shell)].runs

    def look() -> None:
        run = runs.find()
        until(lambda: "Rank 0 waits in all_reduce" in (taken.append(run.stacks()) or taken[-1]))
        run.stop()

    thread = notebook.when(marker, look)
    shown = notebook.run(
        """
        %%ddp --nproc 2 --grace 1
        dist.init_process_group("gloo")
        threading.Thread(target=monitor, args=(dist.get_rank(),), daemon=True).start()
        dist.barrier()
        if dist.get_rank() == 1:
            Path(marker).touch()
            time.sleep(600)
        dist.all_reduce(torch.ones(1))
        """
    )
    thread.join()

    assert isinstance(shown.error, RunStopped)
    assert taken[-1].startswith(
        "Rank 0 waits in all_reduce (Cell In[3], line 8); rank 1 is not there: it is at "
        "`time.sleep(600)` (Cell In[3], line 7).\n\n"
        "The last collective of each rank, as torch recorded it: rank 0: all_reduce number 2, not "
        "over; rank 1: barrier number 1, over.\n\n"
        "Rank 0:\n"
    )
