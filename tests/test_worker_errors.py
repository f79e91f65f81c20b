"""What kind of error a rank's own is, and what it records of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ddp_magic.rundir import RunDir
from ddp_magic.sourcemap import SourceMap
from ddp_magic.worker import errors
from ddp_magic.worker.errors import Kind
from ddp_magic.worker.store import PeerFailed
from ddp_magic.worker.termination import Terminated

if TYPE_CHECKING:
    from pathlib import Path

GLOO = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [::1]"
CELL = "Cell In[3]"
TORCH = "/site-packages/torch/distributed/distributed_c10d.py"
AUTOGRAD = "/site-packages/torch/autograd/graph.py"


class DistBackendError(RuntimeError):
    pass


def raised(text: str, file: str = CELL, **names: Any) -> BaseException:
    """Run the text as if it stood in that file, and return what it raises."""
    try:
        exec(compile(text, file, "exec"), names)
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def after(first: BaseException, then: BaseException) -> BaseException:
    return raised("try:\n    raise a\nexcept BaseException:\n    raise b", a=first, b=then)


KINDS = {
    "the program's": (ValueError("x"), Kind.OWN),
    "sys.exit": (SystemExit(3), Kind.OWN),
    "interrupt": (KeyboardInterrupt(), Kind.STOPPED),
    "an exit on an interrupt, as Lightning's": (
        after(KeyboardInterrupt(), SystemExit(1)),
        Kind.STOPPED,
    ),
    "stopped": (Terminated(143), Kind.STOPPED),
    "an error of cleaning up after being stopped": (
        after(Terminated(143), ValueError("no checkpoint")),
        Kind.STOPPED,
    ),
    "what waited for rank 0": (PeerFailed("Rank 0 could not begin: OSError"), Kind.LOST_PEER),
    "gloo": (raised("raise RuntimeError(t)", TORCH, t=GLOO), Kind.LOST_PEER),
    "gloo in backward()": (raised("raise RuntimeError(t)", AUTOGRAD, t=GLOO), Kind.LOST_PEER),
    "gloo in Work.wait() of the cell": (RuntimeError(GLOO), Kind.LOST_PEER),
    "gloo's patience": (
        RuntimeError("[gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms"),
        Kind.LOST_PEER,
    ),
    "NCCL": (DistBackendError("NCCL error: remote process exited"), Kind.LOST_PEER),
    "NCCL's own fault": (DistBackendError("NCCL error: invalid usage"), Kind.OWN),
    "not torch's": (RuntimeError("database: connection refused"), Kind.OWN),
    "not a collective": (ConnectionResetError("Connection reset by peer"), Kind.OWN),
    "raised from a lost peer": (after(RuntimeError(GLOO), KeyError("failed")), Kind.LOST_PEER),
    "lost the peer in a finally": (after(ValueError("x"), RuntimeError(GLOO)), Kind.UNFINISHED),
    "lost twice": (after(RuntimeError(GLOO), RuntimeError(GLOO)), Kind.LOST_PEER),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_of_an_error(name: str):
    error, kind = KINDS[name]

    assert errors.kind(error) == kind


CODES = [(ValueError(), 1), (KeyboardInterrupt(), 130), (SystemExit(), 0), (SystemExit(3), 3),
         (SystemExit(-1), 255), (SystemExit("text"), 1), (SystemExit(True), 1)]  # fmt: skip


@pytest.mark.parametrize(("error", "code"), CODES, ids=[repr(e) for e, _ in CODES])
def test_the_exit_code_is_the_interpreters(error: BaseException, code: int):
    assert errors.exit_code(error) == code


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run-1")


def recorded(run: RunDir, error: BaseException) -> dict[str, Any]:
    nothing = SourceMap(module="main.py", regions=(), texts={})
    errors.record(run, error, rank=1, attempt=2, source_map=nothing, kind=errors.kind(error))
    return json.loads(run.error(1, 2).read_text())


class Mute(Exception):
    def __str__(self) -> str:
        raise OSError("no text")


class Odd(Exception):
    @property
    def __notes__(self) -> list[str]:
        raise OSError("no notes")


def test_an_error_is_recorded_with_its_lines(run: RunDir):
    told = recorded(run, raised("x = 1\nraise ValueError('bad')"))

    assert told["traceback"].startswith("Traceback (most recent call last):\n")
    assert 'File "Cell In[3]", line 2, in <module>' in told["traceback"]
    assert (told["type"], told["message"], told["code"], told["kind"]) == (
        "ValueError",
        "bad",
        1,
        0,
    )


HARD = {
    "cannot be printed": (Mute(), "<exception str() failed>"),
    "has notes that raise": (Odd("odd"), "odd"),
    "has lone surrogates": (ValueError("caf\udce9"), "caf\\udce9"),
    "is huge": (ValueError("x" * 10**6), "x" * 200_000),
}


@pytest.mark.parametrize("name", HARD)
def test_no_error_is_too_odd_to_be_recorded(run: RunDir, name: str):
    error, message = HARD[name]
    told = recorded(run, raised("raise error", error=error))

    assert told["message"] == message
    assert CELL in told["traceback"]
    assert len(told["traceback"]) <= 200_000
    assert told["traceback"].encode()


def test_a_long_chain_of_errors_is_no_recursion_of_ours(run: RunDir):
    error: BaseException = ValueError(0)
    for number in range(1, 3000):
        later = ValueError(number)
        later.__context__ = error
        error = later

    assert recorded(run, error)["message"] == "2999"


def test_what_the_program_puts_into_json_and_time_does_not_reach_us(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
):
    loads = json.loads
    error = raised("raise ValueError('bad')")
    monkeypatch.setattr(json, "dumps", None)
    monkeypatch.setattr("time.time", None)
    nothing = SourceMap(module="main.py", regions=(), texts={})
    errors.record(run, error, rank=0, attempt=0, source_map=nothing, kind=Kind.OWN)

    assert loads(run.error(0, 0).read_text())["time"] > 0


def test_frames_that_look_at_a_librarys_calls_are_cut_between_the_users_and_its_own(run: RunDir):
    inner = compile("raise ValueError('bad')", "/lib/lightning/trainer.py", "exec")
    hooked = compile("exec(inner)", errors._THROUGH[0] + "/lightning.py", "exec")
    error = raised("exec(hooked)", hooked=hooked, inner=inner)
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next  # this file's
    told = recorded(run, error)["traceback"]

    assert "frameworks" not in told
    assert told.index(CELL) < told.index("/lib/lightning/trainer.py")


def test_our_own_frames_are_cut_in_every_error_of_a_chain(run: RunDir):
    ours = str(errors._OURS) + "/worker/program.py"
    inner = raised("exec(code)", ours, code=compile("raise KeyError('a')", CELL, "exec"))
    outer = raised("exec(code)", ours, code=compile("raise ValueError('b')", CELL, "exec"))
    for error in (inner, outer):  # as in a worker, where all frames above the cell's are ours
        assert error.__traceback__ is not None
        error.__traceback__ = error.__traceback__.tb_next
    outer.__context__ = inner

    assert "program.py" not in recorded(run, outer)["traceback"]
