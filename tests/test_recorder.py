"""torch's flight recorder: what turns it on, and a file of it, which nobody trusts."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddp_magic import recorder
from ddp_magic.recorder import Last, ask, conclude, environment, last, read
from ddp_magic.rundir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run-1")


def entry(record: int, name: str, **changes: Any) -> dict[str, Any]:
    """What NCCL's process group records of a collective, as far as it is read here."""
    return {
        "record_id": record,
        "process_group": ("0", "default_pg"),
        "collective_seq_id": record + 1,
        "p2p_seq_id": 0,
        "is_p2p": False,
        "profiling_name": f"nccl:{name}",
        "state": "completed",
        "retired": True,
        "frames": [
            {"filename": "/env/lib/python3.11/site-packages/torch/x.py", "line": 1, "name": "f"},
            {"filename": "/home/me/ddp_magic/worker/program.py", "line": 2, "name": "g"},
            {"filename": "Cell In[4]", "line": 12, "name": "step"},
        ],
        **changes,
    }


def dump(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"version": "2.10", "entries": list(entries), "pg_config": {}, "pg_status": {}}


WAITING = {"state": "started", "retired": False}
PLACE = "Cell In[4], line 12"
LASTS = {
    "the newest where all are over": (
        dump(entry(0, "broadcast"), entry(1, "all_reduce")),
        ("all_reduce", 2, "default_pg", True, PLACE),
    ),
    "the first that is not over": (
        dump(entry(0, "broadcast"), entry(2, "x", **WAITING), entry(1, "all_gather", **WAITING)),
        ("all_gather", 2, "default_pg", False, PLACE),
    ),
    "gloo's, which stay scheduled": (
        dump(entry(0, "barrier", state="scheduled", profiling_name="gloo:barrier")),
        ("barrier", 1, "default_pg", True, PLACE),
    ),
    "a send": (
        dump(entry(0, "send 0->1", is_p2p=True, p2p_seq_id=7)),
        ("send 0->1", 7, "default_pg", True, PLACE),
    ),
    "a group of the user's, called by autograd": (
        dump(entry(0, "all_reduce", process_group=("3", "tensor parallel"), frames=[])),
        ("all_reduce", 1, "tensor parallel", True, ""),
    ),
    "a form that nobody knows": (
        dump({"record_id": 4}), ("a collective", 0, "", False, ""),
    ),
    "no collective": (dump(), None),
    "entries that are none": ({"entries": [1, "x", {"record_id": "y"}]}, None),
    "no dictionary": ([1, 2], None),
}  # fmt: skip


@pytest.mark.parametrize("name", LASTS)
def test_the_last_collective_of_a_rank(name: str):
    given, said = LASTS[name]
    found = last(3, given)

    assert (
        found and (found.rank, found.name, found.number, found.group, found.done, found.place)
    ) == (said and (3, *said))


def test_the_ranks_that_came_to_the_same_are_named_together():
    def of(rank: int, **changes: Any) -> Last:
        facts: dict[str, Any] = {"name": "all_reduce", "number": 5, "group": "default_pg"}
        return Last(rank=rank, **{**facts, "done": False, "place": PLACE, **changes})

    text = conclude([of(0), of(1, number=4, done=True, place=""), of(2), of(3, group="tp")])

    assert text == (
        "The last collective of each rank, as torch recorded it: ranks 0, 2: all_reduce number 5, "
        "not over (Cell In[4], line 12); rank 1: all_reduce number 4, over; rank 3: all_reduce "
        "number 5 of tp, not over (Cell In[4], line 12)."
    )
    assert conclude([]) == ""


@pytest.mark.parametrize(
    ("installed", "environ", "made"),
    [
        (
            "2.13.0+cu130", {},
            {
                "TORCH_FR_DUMP_TEMP_FILE": "{run}/logs/collectives.rank",
                "TORCH_FR_BUFFER_SIZE": "2000",
                "TORCH_NCCL_DEBUG_INFO_PIPE_FILE": "{run}/collectives.rank",
                "TORCH_NCCL_DUMP_ON_TIMEOUT": "1",
            },
        ),
        (
            "2.6.0", {},
            {
                "TORCH_NCCL_DEBUG_INFO_TEMP_FILE": "{run}/logs/collectives.rank",
                "TORCH_NCCL_TRACE_BUFFER_SIZE": "2000",
                "TORCH_NCCL_DEBUG_INFO_PIPE_FILE": "{run}/collectives.rank",
                "TORCH_NCCL_DUMP_ON_TIMEOUT": "1",
            },
        ),
        (
            "2.13.0",
            {"TORCH_NCCL_DEBUG_INFO_TEMP_FILE": "/mine", "TORCH_NCCL_TRACE_BUFFER_SIZE": "0"},
            {
                "TORCH_NCCL_DEBUG_INFO_PIPE_FILE": "{run}/collectives.rank",
                "TORCH_NCCL_DUMP_ON_TIMEOUT": "1",
            },
        ),
    ],
    ids=["with today's names", "with those of an older torch", "the user's settings stay"],
)  # fmt: skip
def test_workers_keep_a_recorder_in_the_runs_directory(run, monkeypatch, installed, environ, made):
    monkeypatch.setattr(recorder, "_torch", lambda: tuple(map(int, installed.split(".")[:2])))

    wanted = {name: value.replace("{run}", str(run.path)) for name, value in made.items()}
    assert environment(run, environ) == wanted


@pytest.mark.parametrize(
    ("said", "found"), [("2.13.0+cu130", (2, 13)), ("2.14.0a0+git1f", (2, 14)), (None, (2,))]
)
def test_the_version_of_torch_is_known_without_importing_it(monkeypatch, said, found):
    if said is None:
        monkeypatch.delitem(sys.modules, "torch", raising=False)
        assert "torch" not in sys.modules
    else:
        monkeypatch.setitem(
            sys.modules, "torch", SimpleNamespace(version=SimpleNamespace(__version__=said))
        )

    assert recorder._torch()[: len(found)] == found
    assert said is not None or "torch" not in sys.modules


def writer(run: RunDir, rank: int, *parts: bytes) -> threading.Thread:
    """Stand for a rank: when it is asked, it writes its file, in parts."""
    os.mkfifo(run.flight_pipe(rank))
    fd = os.open(run.flight_pipe(rank), os.O_RDONLY | os.O_NONBLOCK)

    def go() -> None:
        while not os.read(fd, 1):
            time.sleep(0.01)
        os.close(fd)
        for part in parts:
            with open(run.flight(rank), "ab") as file:
                file.write(part)
            time.sleep(0.1)

    thread = threading.Thread(target=go)
    thread.start()
    return thread


def test_ranks_that_have_a_recorder_are_asked_and_read_when_their_file_is_whole(run):
    raw = pickle.dumps(dump(entry(0, "all_reduce", **WAITING)), protocol=2)
    thread = writer(run, 1, raw[:50], raw[50:])
    asked = ask(run, 3)
    found = read(run, asked)
    thread.join()

    assert list(asked) == [1]
    assert [(one.rank, one.name, one.done) for one in found] == [(1, "all_reduce", False)]


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize(
    "raw",
    [pickle.dumps({"entries": [Evil()]}), b"no pickle", b""],
    ids=["a pickle that calls", "no pickle", "nothing"],
)
def test_a_file_that_is_no_recorders_is_not_obeyed(run, raw, monkeypatch, tmp_path):
    monkeypatch.setattr(recorder, "_PATIENCE", 0.2)
    monkeypatch.chdir(tmp_path)
    run.flight(0).write_bytes(raw)

    assert read(run, {0: time.time()}) == ()
    assert not (tmp_path / "harmed").exists()


def test_a_file_of_an_earlier_question_is_no_answer(run, monkeypatch):
    monkeypatch.setattr(recorder, "_PATIENCE", 0.2)
    run.flight(0).write_bytes(pickle.dumps(dump(entry(0, "all_reduce"))))
    os.utime(run.flight(0), (1, 1))

    assert read(run, {0: time.time()}) == ()


def test_a_rank_whose_monitor_is_gone_or_that_has_none_is_not_waited_for(run):
    os.mkfifo(run.flight_pipe(0))
    run.flight_pipe(1).write_bytes(b"no FIFO")

    assert ask(run, 3) == {}
    assert run.flight_pipe(1).read_bytes() == b"no FIFO"
