"""What a worker finds in its environment, from tables of what the kernel has in its own."""

from __future__ import annotations

import os

import pytest

from ddp_magic import environment as module
from ddp_magic.environment import environment
from ddp_magic.launcher import is_launchers
from ddp_magic.worker import training


def made(
    base: dict[str, str],
    extra: dict[str, str] | None = None,
    devices: dict[str, str] | None = None,
    *,
    size: int = 2,
    colour: bool = False,
) -> dict[str, str]:
    return environment(
        base,
        world_size=size,
        devices=devices or {},
        columns=90,
        colour=colour,
        extra=extra or {},
    )


STRIPPED = {
    "of a launcher around us": {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "3"},
    "an address": {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"},
    "torchrun's options": {"PET_NPROC_PER_NODE": "8", "PET_RDZV_BACKEND": "c10d"},
    "elastic's": {"TORCHELASTIC_RUN_ID": "x", "TORCHELASTIC_USE_AGENT_STORE": "True"},
    "groups and roles": {"GROUP_RANK": "0", "ROLE_NAME": "default", "ROLE_WORLD_SIZE": "2"},
    "what tears lines": {"PYTHONUNBUFFERED": "1"},
}


@pytest.mark.parametrize("name", STRIPPED)
def test_what_would_mislead_a_rank_is_left_out(name: str):
    env = made({**STRIPPED[name], "HOME": "/home/me"})

    assert not set(STRIPPED[name]) & set(env)
    assert env["HOME"] == "/home/me"


def test_rank_0_is_a_process_of_its_own_when_it_has_left_its_group(
    monkeypatch: pytest.MonkeyPatch,
):
    given = {"HOME": "/home/me", "RANKS": "3", "PET_NAME": "x", "OMP_NUM_THREADS": "2"}
    launched = [name for case in STRIPPED.values() for name in case if is_launchers(name)]
    monkeypatch.setattr(os, "environ", {**given, **dict.fromkeys(launched, "1")})
    training.leave_group()

    assert os.environ == given
    assert not any(map(is_launchers, (0, None, b"RANK", "", "MY_RANK", "RANK_", float("nan"))))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("RANK"), True),
        (KeyError("TORCHELASTIC_RESTART_COUNT"), True),
        (KeyError("rank"), False),
        (KeyError(["RANK"]), False),
        (KeyError(), False),
        (ValueError("RANK"), False),
    ],
)
def test_a_body_that_misses_its_rank_is_told_that_it_is_alone(error: Exception, told: bool):  # noqa: FBT001
    assert bool(training.why(error)) is told


@pytest.mark.parametrize(
    ("message", "module", "told"),
    [
        ("Default process group has not been initialized", "torch.distributed.c10d", True),
        ("Error initializing using env:// rendezvous: RANK", "torch.distributed.rendezvous", True),
        ("FSDP needs a non-CPU accelerator device", "torch.distributed.fsdp", False),
        ("No such file: a/.metadata", "torch.distributed.checkpoint", False),
        ("This process group of mine", "__main__", False),
    ],
)
def test_only_what_misses_the_group_is_told_so(message: str, module: str, told: bool):  # noqa: FBT001
    with pytest.raises(ValueError, match=message[:9]) as raised:
        exec(f"raise ValueError({message!r})", {"__name__": module})

    assert bool(training.why(raised.value)) is told


RESULTS = {
    "one's own backend": ({"MPLBACKEND": "agg"}, "MPLBACKEND", "agg"),
    "a backend that needs a kernel": (
        {"MPLBACKEND": "module://ipympl.backend_nbagg"},
        "MPLBACKEND",
        "module://matplotlib_inline.backend_inline",
    ),
    "no backend": ({}, "MPLBACKEND", "module://matplotlib_inline.backend_inline"),
    "one's own number of threads": ({"OMP_NUM_THREADS": "7"}, "OMP_NUM_THREADS", "7"),
    "one hash seed": ({}, "PYTHONHASHSEED", "0"),
    "one hash seed for random": ({"PYTHONHASHSEED": "random"}, "PYTHONHASHSEED", "0"),
    "one's own hash seed": ({"PYTHONHASHSEED": "12"}, "PYTHONHASHSEED", "12"),
    "loopback for gloo": ({"GLOO_SOCKET_IFNAME": "eth0"}, "GLOO_SOCKET_IFNAME", "lo"),
    "loopback for NCCL": ({"NCCL_SOCKET_IFNAME": "eth0"}, "NCCL_SOCKET_IFNAME", "=lo"),
    "the view's width": ({"COLUMNS": "300"}, "COLUMNS", "90"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_what_a_worker_gets(name: str, monkeypatch: pytest.MonkeyPatch):
    base, variable, value = RESULTS[name]
    monkeypatch.setattr(module, "_LOOPBACK", "lo")

    assert made(base)[variable] == value


@pytest.mark.parametrize(("cores", "size", "threads"), [(8, 2, "4"), (8, 3, "2"), (2, 4, "1")])
def test_workers_share_the_cores(
    cores: int, size: int, threads: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_cores", lambda: cores)

    assert made({}, size=size)["OMP_NUM_THREADS"] == threads


def test_colours_are_asked_for_where_the_view_draws_them_and_the_user_wants_any():
    assert made({}, colour=True)["FORCE_COLOR"] == "1"
    assert "FORCE_COLOR" not in made({}, colour=False)
    assert "FORCE_COLOR" not in made({"NO_COLOR": "1"}, colour=True)


def test_the_line_wins_over_everything():
    env = made(
        {"A": "base"},
        {"A": "line", "NCCL_SOCKET_IFNAME": "eth0", "CUDA_VISIBLE_DEVICES": "7"},
        {"CUDA_VISIBLE_DEVICES": ""},
    )

    assert env["A"] == "line"
    assert env["NCCL_SOCKET_IFNAME"] == "eth0"
    assert env["CUDA_VISIBLE_DEVICES"] == "7"
    assert made({}, {}, {"CUDA_VISIBLE_DEVICES": ""})["CUDA_VISIBLE_DEVICES"] == ""
