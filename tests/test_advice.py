"""What is said where all ranks do what one should: tables of what ranks left behind."""

from __future__ import annotations

import json
import linecache
import os
from pathlib import Path
from typing import Any

import pytest

from ddp_magic import advice
from ddp_magic.failure import explain
from ddp_magic.follow import Ending
from ddp_magic.rundir import RunDir
from ddp_magic.sourcemap import SourceMap
from ddp_magic.worker import errors
from ddp_magic.worker.absent import absent, wait_for_first
from ddp_magic.worker.lone import condition

OWN, UNFINISHED, LOST_PEER, STOPPED = range(4)
CELL = "Cell In[3]"
NONE = "AttributeError: 'NoneType' object has no attribute 'box'"
ONE = '`if int(os.environ["RANK"]) == 0:`'


@pytest.fixture(autouse=True)
def no_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(linecache, "cache", {})


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = RunDir.create(tmp_path / "run-1")
    made.job.write_text("{}")
    return made


def raised(text: str, **names: Any) -> BaseException:
    """Run the text as if it stood in a cell, and return what it raises."""
    linecache.cache[CELL] = (len(text), None, [line + "\n" for line in text.splitlines()], CELL)
    try:
        exec(compile(text, CELL, "exec"), names)
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def failed(run: RunDir, rank: int, error: BaseException, *, kind: int = OWN) -> None:
    source_map = SourceMap(module="main.py", regions=(), texts={})
    errors.record(run, error, rank=rank, attempt=0, source_map=source_map, kind=errors.Kind(kind))


def told(
    run: RunDir, size: int = 2, *, grouped: bool | None = True, **announced: int | None
) -> str:
    """Return what is said besides the traceback."""
    ending = Ending()
    ending.grouped = grouped
    ending.agent = 1
    ending.announced = {int(rank[1:]): code for rank, code in announced.items()}
    _, text = explain(run, ending, size, oom_kills_before=0, held_by_kernel=str)
    return text


def test_a_result_that_rank_0_alone_has_is_no_failed_training(run: RunDir):
    failed(run, 1, raised("best = results.box.map", results=None), kind=UNFINISHED)
    text = told(run, r0=0, r1=1)

    assert text.startswith(f"Rank 1 of 2 failed: {NONE}\n")
    assert text.endswith(
        "Rank 0 ran the cell to its end: only rank 1 failed, since `results` is None there. "
        "What trains on all ranks often gives its result to rank 0 alone. "
        f"Use it under {ONE}; with --trainer the whole cell below runs in rank 0 only.\n"
        "Nothing that rank 0 bound is lost: it is here, by -o or %ddp_output."
    )


def test_ranks_that_never_met_have_not_trained_together(run: RunDir):
    failed(run, 1, raised("best = results.box.map", results=None), kind=UNFINISHED)
    text = told(run, grouped=False, r0=0, r1=1)

    assert "Rank 0 ran the cell to its end: only rank 1 failed, since `results` is None" in text
    assert "train" not in text.replace("--trainer", "")


def test_what_is_not_known_of_rank_0_is_not_said(run: RunDir):
    for rank in (1, 2, 3):
        failed(run, rank, raised("f(results)[0]", f=lambda _: None, results=1))
    failed(run, 0, SystemExit(143), kind=STOPPED)
    text = told(run, 4, r0=143, r1=1, r2=1, r3=1)

    assert "Rank 0 did not fail here: only ranks 1, 2 and 3 failed, since something is" in text
    assert "is lost" not in text


def test_an_error_that_rank_0_has_too_is_one_of_the_program(run: RunDir):
    for rank in (0, 1):
        kind = UNFINISHED if rank else OWN
        failed(run, rank, raised("best = results.box.map", results=None), kind=kind)
    text = told(run, r0=1, r1=1)

    assert text.startswith("Rank 0 of 2 failed: ")
    assert "gives its result to rank 0" not in text


def test_an_error_of_rank_0s_own_counts_more(run: RunDir):
    failed(run, 1, raised("best = results.box.map", results=None), kind=UNFINISHED)
    failed(run, 0, ValueError("its own"))

    assert told(run, r0=1, r1=1).startswith("Rank 0 of 2 failed: ValueError: its own")


ABSENT = {
    "an attribute": ("a = 1; b = a + results.box", "results"),
    "an item": ("results['map']", "results"),
    "unpacking": ("x, y = results", "results"),
    "in a function": ("def f(found):\n    return found.box\nf(results)", "found"),
    "no plain name": ("[None][0].box", ""),
    "a number": ("float(results)", "results"),
    "another error": ("results + undefined", None),
    "not of the notebook": ("import json; json.loads(results)", None),
    "on something else": ("(1).box", None),
}


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_none_is_found_in_the_notebooks_line(name: str):
    text, expected = ABSENT[name]

    assert absent(raised(text, results=None)) == expected


def test_a_rank_waits_for_rank_0_as_long_as_that_may_still_save(tmp_path: Path):
    over = tmp_path / "over"
    over.touch()
    wait_for_first(over)

    assert absent(None) is None


def test_a_folder_that_another_rank_made_is_told(run: RunDir, tmp_path: Path):
    folder = tmp_path / "runs"
    folder.mkdir()
    failed(run, 0, raised("import os; os.mkdir(p)", p=str(folder)))

    assert told(run, r0=1, r1=None).splitlines()[-1] == (
        "runs was made during this run, most likely by another rank at this same line. "
        f"Make it in one, under {ONE}, or allow for it: os.makedirs(..., exist_ok=True)."
    )


def test_a_folder_that_was_there_before_is_not_laid_to_a_rank(run: RunDir, tmp_path: Path):
    folder = tmp_path / "runs"
    folder.mkdir()
    later = folder.stat().st_ctime + 60
    os.utime(run.job, (later, later))
    failed(run, 0, raised("import os; os.mkdir(p)", p=str(folder)))

    assert "another rank" not in told(run, r0=1, r1=None)


def test_a_file_that_is_there_by_now_was_read_too_early(run: RunDir, tmp_path: Path):
    path = tmp_path / "late.txt"
    error = raised("open(p)", p=str(path))
    path.write_text("there")
    failed(run, 1, error)

    assert told(run, r0=0, r1=1).splitlines()[-1] == (
        "late.txt is there now: another rank wrote it after this one had looked. "
        "Let the ranks meet in between: torch.distributed.barrier()."
    )


def test_a_file_that_the_first_rank_removed_is_told(run: RunDir, tmp_path: Path):
    failed(run, 1, raised("import os; os.remove(p)", p=str(tmp_path / "gone")))

    assert "the first one leaves nothing for the others" in told(run, r0=None, r1=1)


TORN = (
    "Rank 0 saved a.pt in this run (Cell In[3], line 7), and may not have been done when rank 1 "
    "read it. Let the ranks meet in between: torch.distributed.barrier()."
)


@pytest.mark.parametrize(
    ("read", "saved", "known"),
    [
        ("a.pt", ["a.pt", "other.pt"], "a.pt"),
        (Path("a.pt"), ["a.pt"], "a.pt"),
        ("theirs.pt", ["a.pt"], ""),
        (object(), ["a.pt"], "a.pt"),  # an open file, which nothing names
        (object(), ["a.pt", "other.pt"], ""),
    ],
)
def test_a_checkpoint_that_was_read_while_it_was_written_is_told(
    run: RunDir, tmp_path: Path, read: object, saved: list[str], known: str
):
    load: dict[str, Any] = {"__name__": "torch.serialization"}
    exec("def load(f):\n    raise RuntimeError('PytorchStreamReader failed reading')", load)
    where = tmp_path / read if isinstance(read, (str, Path)) else read
    failed(run, 1, raised("torch_load(p)", torch_load=load["load"], p=where))
    assert "saved" not in told(run, r0=None, r1=1)
    notes = [json.dumps([str(tmp_path / name), CELL, 7]) for name in saved]
    run.saves(0, 0).write_text("\n".join(notes) + "\n")

    assert (told(run, r0=None, r1=1).splitlines()[-1] == TORN) is bool(known)


@pytest.mark.parametrize(
    ("error", "advised"),
    [
        (RuntimeError("Distributed package doesn't have NCCL built in"), "takes NCCL on GPUs"),
        (ValueError("ProcessGroupNCCL is only supported with GPUs, no GPUs found!"), "Gloo here"),
        (RuntimeError("InvalidCxxCompiler: No working C++ compiler"), 'backend="eager"'),
        (ValueError("SyncBatchNorm layers only work with GPU modules"), "cuda.is_available()"),
        (KeyError("SyncBatchNorm.weight"), None),
    ],
)
def test_known_messages_have_a_way_out_whichever_ranks_have_them(run: RunDir, error, advised):
    for rank in (0, 1):
        failed(run, rank, error)
    text = told(run, r0=1, r1=1)

    assert advised in text if advised else "GPUs" not in text


def test_a_file_that_several_ranks_saved_is_told_once(run: RunDir, tmp_path: Path):
    for name in ("model.pt", "model0.pt", "model1.pt", "model2.pt"):
        (tmp_path / name).touch()
    for rank in range(3):
        names = ["model.pt", f"model{rank}.pt", "not_made.pt", "/dev/null"]
        lines = [json.dumps([str(tmp_path / name), CELL, at]) for at, name in enumerate(names, 4)]
        run.saves(rank, 0).write_text("\n".join(lines))
    run.saves(1, 1).write_text(json.dumps([str(tmp_path / "model.pt"), CELL, 4]))

    (said,) = advice.saved_by_several(run, 4, 0)
    assert said == (
        "Ranks 0, 1 and 2 saved one file, model.pt (Cell In[3], line 4), and may have written "
        f"into each other's. Let one do it: {ONE}."
    )
    assert advice.saved_by_several(run, 4, 1) == []


ALONE = {
    "rank 0": ("if RANK == 0:\n    x = 1\n    val()", "`if RANK == 0:`"),
    "what a launcher sets": (
        'if int(os.environ["RANK"]) == 0:\n    val()',
        '`if int(os.environ["RANK"]) == 0:`',
    ),
    "a function": ("def f():\n    val()\nif RANK == 0:\n    f()", "`if RANK == 0:`"),
    "in a function": ("def f():\n    if RANK == 0:\n        val()\nf()", "`if RANK == 0:`"),
    "the others": (
        "if RANK:\n    pass\nelse:\n    val()",
        "the `else` of `if RANK:`",
    ),
    "deeper": (
        "if RANK == 0:\n    for _ in [1]:\n        if val:\n            val()",
        "`if RANK == 0:`",
    ),
    "another condition": ("if val:\n    val()", ""),
    "the condition itself": ("if RANK == 0 and val():\n    pass", ""),
    "after it": ("if RANK == 0:\n    pass\nval()", ""),
}


@pytest.mark.parametrize("name", ALONE)
def test_an_if_that_tells_ranks_apart_is_found_above_a_lone_collective(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RANK", "0")
    text, expected = ALONE[name]

    def val():
        raise RuntimeError("gloo: Connection closed by peer")

    assert condition(raised(text, val=val, RANK=0, os=os)) == expected


def lone(run: RunDir, text: str, **names: Any) -> str:
    """Return what is said last where rank 0 failed in this after all others had ended."""
    failed(run, 0, raised(text, RANK=0, **names), kind=LOST_PEER)
    return told(run, 3, r0=1, r1=0, r2=0).split("\n\n")[-1]


def library(module: str) -> Any:
    """Return a function of this module whose collective has lost its peers."""
    space: dict[str, Any] = {"__name__": module}
    text = "def call():\n    raise RuntimeError('gloo: Connection closed by peer')"
    exec(compile(text, f"{module}.py", "exec"), space)
    return space["call"]


def test_a_collective_of_rank_0_alone_is_told_with_its_condition(run: RunDir):
    text = "if RANK == 0:\n    call()"

    assert lone(run, text, call=library("torch.distributed")) == (
        "Ranks 1 and 2 had reached the end of the cell while rank 0 was still in this collective, "
        "which not all ranks came to: it stands under `if RANK == 0:`. All ranks must call the "
        "same collectives: call this one in every rank."
    )


def test_a_call_that_meets_other_ranks_unseen_is_told_as_such(run: RunDir):
    text = "if RANK == 0:\n    call()"

    said = lone(run, text, call=library("ultralytics.engine.model"))
    assert "Ultralytics meets the other ranks in it. Call it in the notebook after the" in said
    said = lone(run, text, call=library("torch.nn.parallel.distributed"))
    assert said.endswith("or there the model inside, which meets nobody: model.module(...).")


def test_a_collective_that_stands_under_no_such_condition_is_one_batch_too_many(run: RunDir):
    said = lone(run, "call()", call=library("torch.distributed"))

    assert said.endswith(
        "in this collective. All ranks must call the same collectives: give them equally many "
        "batches (DistributedSampler, or `with model.join():`), and call none in one rank only."
    )
