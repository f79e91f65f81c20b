"""Where the workers go, on machines that are lists of made-up GPUs."""

# ruff: noqa: N802, N815, ARG002  (the names and arguments of the fake library are pynvml's)

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from ddp_magic.devices import (
    Gpu,
    Holder,
    Placement,
    choose,
    holders_of,
    kernel_memory,
    torch_has_cuda,
)
from ddp_magic.errors import DeviceError
from ddp_magic.gpu.occupancy import uses_cuda
from ddp_magic.gpu.visibility import visible
from ddp_magic.nvml import Nvml
from ddp_magic.options import parse

GIB = 2**30
KERNEL = 1000
ALICE = Holder(pid=42, name="python", user="alice", used=31 * GIB)
BOB = Holder(pid=43, name="ollama", user="bob", used=2 * GIB)
OWN = Holder(pid=KERNEL, name="python", user="me", used=3 * GIB)
DESKTOP = Holder(pid=7, name="Xorg", user="root", used=2 * GIB, compute=False)
FOREIGN = Holder(pid=9999, name="", user="", used=5 * GIB)
SILENT = Holder(pid=44, name="python", user="", used=None)


def gpu(index: int, *holders: Holder, name: str = "NVIDIA H200", hidden: int = 0) -> Gpu:
    used = sum(holder.used or 0 for holder in holders) + hidden * GIB
    return Gpu(
        uuid=f"GPU-{index}{index}{index}{index}-aaaa",
        index=index,
        name=name,
        total=80 * GIB,
        free=80 * GIB - used,
        holders=holders,
    )


def instance(number: int, parent: int, *holders: Holder) -> Gpu:
    return Gpu(
        uuid=f"MIG-{number}{number}{number}{number}-bbbb",
        index=parent,
        name="NVIDIA A100 MIG 3g.20gb",
        total=20 * GIB,
        free=20 * GIB - sum(holder.used or 0 for holder in holders),
        holders=holders,
        mig=True,
        parent=f"GPU-{parent}{parent}{parent}{parent}-aaaa",
    )


class Machine:
    def __init__(self, *gpus: Gpu, broken: str = "") -> None:
        self.there = gpus
        self.broken = broken

    def gpus(self) -> tuple[Gpu, ...]:
        if self.broken:
            raise DeviceError(self.broken)
        return self.there


FOUR = Machine(gpu(0), gpu(1), gpu(2), gpu(3))
TWO = Machine(gpu(0), gpu(1))
BUSY = Machine(gpu(0, ALICE), gpu(1, OWN), gpu(2, BOB), gpu(3))
ALL_BUSY = Machine(gpu(0, ALICE), gpu(1, BOB))
MIXED = Machine(gpu(0, name="NVIDIA T4"), gpu(1), gpu(2, ALICE))
MIG = Machine(gpu(0), instance(1, 1, ALICE), instance(2, 1))
ONLY_MIG = Machine(instance(1, 0), instance(2, 0))
NONE = Machine()
NO_DRIVER = Machine(broken="no NVIDIA driver is installed")


def uuids(*indices: int) -> str:
    return ",".join(gpu(index).uuid for index in indices)


def labels(*numbers: int, name: str = "NVIDIA H200") -> tuple[str, ...]:
    return tuple(f"cuda:{number} {name}" for number in numbers)


def place(
    line: str,
    machine: Machine,
    environ: dict[str, str] | None = None,
    *,
    cuda_build: bool | None = True,
    kernel_uses_cuda: bool = False,
    claims: dict[str, str] | None = None,
) -> Placement:
    return choose(
        parse(line),
        machine,
        environ=environ or {},
        kernel_pid=KERNEL,
        cuda_build=cuda_build,
        kernel_uses_cuda=kernel_uses_cuda,
        claims=claims,
    )


@dataclass(frozen=True)
class Placed:
    name: str
    line: str
    machine: Machine
    uuids: str
    labels: tuple[str, ...]
    notices: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict[str, str])
    cuda_build: bool | None = True
    kernel_uses_cuda: bool = False


CPU2 = ("CPU", "CPU")
OWN_NOTICE = (
    "This kernel itself holds 3.0 GiB on cuda:1 NVIDIA H200, which the worker there does not get; "
    "del what is not needed, then torch.cuda.empty_cache(), frees it."
)
PLACED = [
    Placed("one GPU each", "--gpus 2", TWO, uuids(0, 1), labels(0, 1)),
    Placed("the first of equal ones", "--gpus 2", FOUR, uuids(0, 1), labels(0, 1)),
    Placed("all", "--gpus all", FOUR, uuids(0, 1, 2, 3), labels(0, 1, 2, 3)),
    Placed(
        "the free ones, this kernel's memory not counted, most free memory first",
        "--gpus 1", BUSY, uuids(3), labels(3),
    ),
    Placed(
        "this kernel's own memory is named, in the order of the numbers",
        "--gpus 2", BUSY, uuids(1, 3), labels(1, 3), (OWN_NOTICE,),
    ),
    Placed(
        "all means all that are free, and the others are named",
        "--gpus all", BUSY, uuids(1, 3), labels(1, 3),
        (
            ("GPUs in use are left out: cuda:0 NVIDIA H200 is held by python (pid 42, alice, "
            "31.0 GiB); cuda:2 NVIDIA H200 is held by ollama (pid 43, bob, 2.0 GiB)."),
            OWN_NOTICE,
        ),
    ),
    Placed(
        "exactly these, in their order, even if others use them",
        "--devices 3,0", BUSY, uuids(3, 0), labels(3, 0),
        (
            "cuda:0 NVIDIA H200 is held by python (pid 42, alice, 31.0 GiB) as well.",
        ),
    ),
    Placed("a list with --gpus", "--gpus 0,2", FOUR, uuids(0, 2), labels(0, 2)),
    Placed("by UUID, cut short", "--devices GPU-22", FOUR, uuids(2), labels(2)),
    Placed("a number of workers takes free GPUs", "--nproc 2", FOUR, uuids(0, 1), labels(0, 1)),
    Placed(
        "a number of workers goes to the CPU where GPUs are missing",
        "--nproc 3", TWO, "", ("CPU",) * 3,
        ("The 3 workers train on the CPU, because 2 of 2 GPUs can be used.",),
    ),
    Placed(
        "a number of workers goes to the CPU where GPUs are busy",
        "--nproc 2", ALL_BUSY, "", CPU2,
        (
            ("The 2 workers train on the CPU, because 0 of 2 GPUs can be used: cuda:0 NVIDIA H200 "
            "is held by python (pid 42, alice, 31.0 GiB); cuda:1 NVIDIA H200 is held by ollama "
            "(pid 43, bob, 2.0 GiB)."),
        ),
    ),
    Placed("a number of workers without GPUs needs no notice", "-n 2", NONE, "", CPU2),
    Placed("a number of workers without a driver", "-n 2", NO_DRIVER, "", CPU2),
    Placed("nothing said, all free GPUs", "", TWO, uuids(0, 1), labels(0, 1)),
    Placed(
        "nothing said and no GPU, two workers on the CPU", "", NONE, "", CPU2,
        ("The 2 workers train on the CPU: this machine has no GPU that the driver shows.",),
    ),
    Placed(
        "nothing said and no driver", "", NO_DRIVER, "", CPU2,
        ("The 2 workers train on the CPU: no NVIDIA driver is installed.",),
    ),
    Placed(
        "nothing said and every GPU busy", "", ALL_BUSY, "", CPU2,
        (
            ("The 2 workers train on the CPU, because 0 of 2 GPUs can be used: cuda:0 NVIDIA H200 "
            "is held by python (pid 42, alice, 31.0 GiB); cuda:1 NVIDIA H200 is held by ollama "
            "(pid 43, bob, 2.0 GiB)."),
        ),
    ),
    Placed(
        "a CPU build of torch on a GPU box", "", TWO, "", CPU2,
        ("The 2 workers train on the CPU: the installed torch is built without CUDA.",),
        cuda_build=False,
    ),
    Placed("an unknown build of torch", "", TWO, uuids(0, 1), labels(0, 1), cuda_build=None),
    Placed(
        "the default of the environment",
        "", FOUR, uuids(0, 1, 2), labels(0, 1, 2), environ={"DDP_MAGIC_NPROC": "3"},
    ),
    Placed(
        "the line stands over the environment",
        "-n 2", FOUR, uuids(0, 1), labels(0, 1), environ={"DDP_MAGIC_NPROC": "3"},
    ),
    Placed(
        "an empty default is none", "", TWO, uuids(0, 1), labels(0, 1),
        environ={"DDP_MAGIC_NPROC": ""},
    ),
    # CUDA_VISIBLE_DEVICES
    Placed(
        "numbers are those of the kernel",
        "--gpus 2", FOUR, uuids(2, 1), labels(0, 1), environ={"CUDA_VISIBLE_DEVICES": "2,1"},
    ),
    Placed(
        "--devices counts in the kernel's numbers",
        "--devices 1", FOUR, uuids(1), labels(1), environ={"CUDA_VISIBLE_DEVICES": "2,1"},
    ),
    Placed(
        "UUIDs cut short",
        "", FOUR, uuids(3, 0), labels(0, 1), environ={"CUDA_VISIBLE_DEVICES": "GPU-33,GPU-00"},
    ),
    Placed(
        "a bad entry ends the list",
        "", FOUR, uuids(2), labels(0),
        ("CUDA_VISIBLE_DEVICES=2,9,1: CUDA stops reading at '9'.",),
        environ={"CUDA_VISIBLE_DEVICES": "2,9,1"},
    ),
    Placed(
        "-1 ends the list", "", FOUR, uuids(2), labels(0),
        ("CUDA_VISIBLE_DEVICES=2,-1,1: CUDA stops reading at '-1'.",),
        environ={"CUDA_VISIBLE_DEVICES": "2,-1,1"},
    ),
    Placed(
        "an empty value hides all",
        "", FOUR, "", CPU2,
        (
            ("The 2 workers train on the CPU: CUDA_VISIBLE_DEVICES= hides every GPU from this "
            "kernel."),
        ),
        environ={"CUDA_VISIBLE_DEVICES": ""},
    ),
    Placed(
        "-n with hidden GPUs", "-n 2", FOUR, "", CPU2, environ={"CUDA_VISIBLE_DEVICES": "-1"}
    ),
    Placed(
        "--env stands over the kernel's variable",
        "-n 2 --env CUDA_VISIBLE_DEVICES=", FOUR, "", CPU2, environ={"CUDA_VISIBLE_DEVICES": "0,1"},
    ),
    # different cards
    Placed(
        "different cards without a known order, named as the driver does",
        "", MIXED, uuids(0, 1), ("GPU 0 NVIDIA T4", "GPU 1 NVIDIA H200"),
        (
            ("GPUs in use are left out: GPU 2 NVIDIA H200 is held by python (pid 42, alice, "
            "31.0 GiB)."),
        ),
    ),
    Placed(
        "different cards in PCI order",
        "--devices 1", MIXED, uuids(1), labels(1), environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
    ),
    Placed(
        "different cards by UUID",
        "--devices GPU-11", MIXED, uuids(1), ("GPU 1 NVIDIA H200",),
    ),
    Placed(
        "a list of UUIDs gives different cards numbers",
        "--devices 0", MIXED, uuids(1), labels(0),
        environ={"CUDA_VISIBLE_DEVICES": f"{uuids(1)},{uuids(0)}"},
    ),
    Placed(
        "all numbers of different cards are a known set",
        "--gpus 2", MIXED, uuids(0, 1), ("GPU 0 NVIDIA T4", "GPU 1 NVIDIA H200"),
        environ={"CUDA_VISIBLE_DEVICES": "2,1,0"},
    ),
    # MIG
    Placed(
        "GPUs that are not divided first", "--gpus 1", MIG, uuids(0), ("cuda:0 NVIDIA H200",),
        environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
    ),
    Placed(
        "one worker takes a free instance", "--gpus 1", Machine(*MIG.there[1:]),
        "MIG-2222-bbbb", ("MIG-2222-bbb… NVIDIA A100 MIG 3g.20gb",),
    ),
    Placed(
        "an instance by its UUID", "--devices MIG-11", ONLY_MIG,
        "MIG-1111-bbbb", ("MIG-1111-bbb… NVIDIA A100 MIG 3g.20gb",),
    ),
    Placed(
        "nothing said, one worker on one instance", "", ONLY_MIG,
        "MIG-1111-bbbb", ("MIG-1111-bbb… NVIDIA A100 MIG 3g.20gb",),
    ),
    Placed(
        "an instance in the variable", "", MIG,
        "MIG-2222-bbbb", ("MIG-2222-bbb… NVIDIA A100 MIG 3g.20gb",),
        environ={"CUDA_VISIBLE_DEVICES": "MIG-22"},
    ),
    Placed(
        "a divided GPU's own UUID in the variable means its first instance", "-g 1", ONLY_MIG,
        "MIG-1111-bbbb", ("MIG-1111-bbb… NVIDIA A100 MIG 3g.20gb",),
        environ={"CUDA_VISIBLE_DEVICES": "GPU-00"},
    ),
    # what the driver does not tell
    Placed(
        "a desktop does not make a GPU busy", "-g 1", Machine(gpu(0, DESKTOP)), uuids(0), labels(0)
    ),
    Placed(
        "a little memory without an owner is the driver's",
        "-g 1", Machine(replace(gpu(0), free=79 * GIB + GIB // 2)), uuids(0), labels(0),
    ),
    Placed(
        "where the kernel uses CUDA, an unseen process may be the kernel",
        "-g 1", Machine(gpu(0, hidden=5)), uuids(0), labels(0),
        (
            ("5.0 GiB on cuda:0 NVIDIA H200 are in use by this kernel or by a process that cannot "
            "be seen from here."),
        ),
        kernel_uses_cuda=True,
    ),
    Placed(
        "a process without a number here may be the kernel",
        "-g 1", Machine(gpu(0, FOREIGN)), uuids(0), labels(0),
        (
            ("5.0 GiB on cuda:0 NVIDIA H200 are in use by this kernel or by a process that cannot "
            "be seen from here."),
        ),
        kernel_uses_cuda=True,
    ),
    Placed(
        "this kernel's memory where the driver does not tell how much",
        "-g 1", Machine(gpu(0, replace(OWN, used=None), hidden=9)), uuids(0), labels(0),
        (OWN_NOTICE.replace("3.0 GiB", "memory").replace("cuda:1", "cuda:0"),),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", PLACED, ids=lambda case: case.name)
def test_workers_go_to(case: Placed) -> None:
    placement = place(
        case.line,
        case.machine,
        case.environ,
        cuda_build=case.cuda_build,
        kernel_uses_cuda=case.kernel_uses_cuda,
    )

    assert placement.env == {"CUDA_VISIBLE_DEVICES": case.uuids}
    assert placement.labels == case.labels
    assert placement.notices == case.notices
    assert placement.world_size == len(case.labels)


@dataclass(frozen=True)
class Refused:
    line: str
    machine: Machine
    message: str
    environ: dict[str, str] = field(default_factory=dict[str, str])
    cuda_build: bool | None = True
    kernel_uses_cuda: bool = False


ORDER = (
    "Set CUDA_DEVICE_ORDER=PCI_BUS_ID before the kernel starts, or name GPUs by their UUIDs, which "
    "nvidia-smi -L lists."
)
CPU = "to train on the CPU."
REFUSED = [
    Refused(
        "--gpus 4", TWO,
        "--gpus 4 asks for more GPUs than this kernel sees (2). Write --gpus 2, or --nproc 4 "
        f"{CPU}",
    ),
    Refused(
        "--gpus 4", NONE,
        "--gpus 4 asks for GPUs, and this machine has no GPU that the driver shows. "
        f"Write --nproc 4 {CPU}",
    ),
    Refused(
        "--gpus 2", NO_DRIVER,
        f"--gpus 2 asks for GPUs, and no NVIDIA driver is installed. Write --nproc 2 {CPU}",
    ),
    Refused(
        "--gpus all", NO_DRIVER,
        f"--gpus all asks for GPUs, and no NVIDIA driver is installed. Write --nproc 2 {CPU}",
    ),
    Refused(
        "--devices 0,1,2", NONE,
        "--devices 0,1,2 asks for GPUs, and this machine has no GPU that the driver shows. "
        f"Write --nproc 3 {CPU}",
    ),
    Refused(
        "--gpus 2", TWO,
        "--gpus 2 asks for GPUs, and the installed torch is built without CUDA. "
        f"Write --nproc 2 {CPU}",
        cuda_build=False,
    ),
    Refused(
        "--gpus 2", NO_DRIVER,
        f"--gpus 2 asks for GPUs, and no NVIDIA driver is installed. Write --nproc 2 {CPU}",
        cuda_build=False,
    ),
    Refused(
        "--gpus 3", FOUR,
        "--gpus 3 asks for more GPUs than this kernel sees (2, by CUDA_VISIBLE_DEVICES=2,1). "
        f"Write --gpus 2, or --nproc 3 {CPU}",
        {"CUDA_VISIBLE_DEVICES": "2,1"},
    ),
    Refused(
        "--gpus 1", FOUR,
        "--gpus 1 asks for GPUs, and CUDA_VISIBLE_DEVICES=-1 hides every GPU from this kernel. "
        f"Write --nproc 2 {CPU}",
        {"CUDA_VISIBLE_DEVICES": "-1"},
    ),
    Refused(
        "--gpus 1", FOUR,
        "--gpus 1 asks for GPUs, and CUDA_VISIBLE_DEVICES=0,0 hides every GPU from this kernel. "
        f"Write --nproc 2 {CPU}",
        {"CUDA_VISIBLE_DEVICES": "0,0"},
    ),
    Refused(
        "--gpus 3", BUSY,
        "--gpus 3 asks for more GPUs than are free (2 of 4): cuda:0 NVIDIA H200 is held by python "
        "(pid 42, alice, 31.0 GiB); cuda:2 NVIDIA H200 is held by ollama (pid 43, bob, 2.0 GiB). "
        f"Write --gpus 2, --devices 1,3,2 to share, or --nproc 3 {CPU}",
    ),
    Refused(
        "--gpus 1", ALL_BUSY,
        "--gpus 1 asks for more GPUs than are free (0 of 2): cuda:0 NVIDIA H200 is held by python "
        "(pid 42, alice, 31.0 GiB); cuda:1 NVIDIA H200 is held by ollama (pid 43, bob, 2.0 GiB). "
        f"Write --devices 1 to share, or --nproc 2 {CPU}",
    ),
    Refused(
        "--gpus all", Machine(gpu(0, ALICE, BOB)),
        "--gpus all asks for more GPUs than are free (0 of 1): cuda:0 NVIDIA H200 is held by "
        "python (pid 42, alice, 31.0 GiB) and ollama (pid 43, bob, 2.0 GiB). "
        f"Write --devices 0 to share, or --nproc 2 {CPU}",
    ),
    Refused(
        "--gpus 1", Machine(gpu(0, SILENT)),
        "--gpus 1 asks for more GPUs than are free (0 of 1): cuda:0 NVIDIA H200 is held by python "
        f"(pid 44). Write --devices 0 to share, or --nproc 2 {CPU}",
    ),
    Refused(
        "--gpus 1", Machine(gpu(0, hidden=5)),
        "--gpus 1 asks for more GPUs than are free (0 of 1): cuda:0 NVIDIA H200 is held by a "
        "process that cannot be seen from here (5.0 GiB). Write --devices 0 to share, or --nproc "
        f"2 {CPU}",
    ),
    Refused(
        "--gpus 1", Machine(gpu(0, OWN, hidden=5)),
        "--gpus 1 asks for more GPUs than are free (0 of 1): cuda:0 NVIDIA H200 is held by a "
        "process that cannot be seen from here (5.0 GiB). Write --devices 0 to share, or --nproc "
        f"2 {CPU}",
        kernel_uses_cuda=True,
    ),
    Refused(
        "--devices 7", TWO,
        "--devices 7: 7 means no GPU that this kernel sees. There is 0 (NVIDIA H200), "
        "1 (NVIDIA H200).",
    ),
    Refused(
        "--devices 3", FOUR,
        "--devices 3: 3 means no GPU that this kernel sees (CUDA_VISIBLE_DEVICES=3). "
        "There is 0 (NVIDIA H200).",
        {"CUDA_VISIBLE_DEVICES": "3"},
    ),
    Refused(
        "--devices GPU-9", TWO,
        "--devices GPU-9: GPU-9 means no GPU that this kernel sees. There is 0 (NVIDIA H200), "
        "1 (NVIDIA H200).",
    ),
    Refused(
        "--devices GPU-1", Machine(gpu(1), replace(gpu(2), uuid="GPU-12")),
        "--devices GPU-1: GPU-1 means several GPUs. There is 0 (NVIDIA H200), 1 (NVIDIA H200).",
    ),
    Refused(
        "--devices 0,GPU-00", TWO,
        "--devices 0,GPU-00 names cuda:0 NVIDIA H200 twice, and a GPU takes one worker. "
        "Keep one of its names.",
    ),
    Refused(
        "--devices 1", MIXED,
        "--devices 1 counts GPUs that differ, and the kernel's order of them is not known. "
        f"{ORDER}",
    ),
    Refused(
        "--gpus 1", MIXED,
        "--gpus 1 asks for GPUs, and CUDA_VISIBLE_DEVICES=0 counts different cards in CUDA's own "
        f"order, in which it cannot be told which are meant. {ORDER} Write --nproc 2 {CPU}",
        {"CUDA_VISIBLE_DEVICES": "0"},
    ),
    Refused(
        "--gpus 2", ONLY_MIG,
        "--gpus 2 asks for more GPUs than this kernel sees (0), and CUDA gives a process one MIG "
        f"instance only. Write --gpus 1, or --nproc 2 {CPU}",
    ),
    Refused(
        "--devices MIG-1,MIG-2", ONLY_MIG,
        "--devices MIG-1,MIG-2 asks for several devices with a MIG instance among them, and CUDA "
        "gives a process one MIG instance only. Name one instance alone, or GPUs that are not "
        "divided.",
    ),
    Refused(
        "", TWO,
        "DDP_MAGIC_NPROC=two is no number of workers. Set it to 2, or write --nproc 2.",
        {"DDP_MAGIC_NPROC": "two"},
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.line} {case.message[:50]}")
def test_what_cannot_be_had_is_refused_with_what_to_do(case: Refused) -> None:
    with pytest.raises(DeviceError) as caught:
        place(
            case.line,
            case.machine,
            case.environ,
            cuda_build=case.cuda_build,
            kernel_uses_cuda=case.kernel_uses_cuda,
        )

    assert str(caught.value) == case.message


CLAIMED = {gpu(0).uuid: "run-3", gpu(2).uuid: "run-4"}


def test_gpus_of_other_runs_of_the_notebook_are_taken_before_the_driver_names_their_workers() -> (
    None
):
    for line, expected in {"--gpus 1": (1,), "--gpus 2": (1, 3), "": (1, 3)}.items():
        placed = place(line, FOUR, claims=CLAIMED)
        assert placed.uuids == tuple(gpu(index).uuid for index in expected), line
    assert place("--nproc 3", FOUR, claims=CLAIMED).uuids == ()
    assert place("--devices 1", FOUR, claims=CLAIMED).uuids == (gpu(1).uuid,)


HELD = (
    "cuda:0 NVIDIA H200 is held by run-3 of this notebook; cuda:2 NVIDIA H200 is held by run-4 of "
    "this notebook"
)
WAIT = "Wait until run-3 or run-4 has ended, or stop it: %ddp_stop run-3 or %ddp_stop run-4."


COLLIDE = {
    "--gpus 3": (
        f"--gpus 3 asks for more GPUs than are free (2 of 4): {HELD}. Write --gpus 2, or --nproc 3 "
        f"to train on the CPU. {WAIT}"
    ),
    "--gpus 4": (
        f"--gpus 4 asks for more GPUs than are free (2 of 4): {HELD}. Write --gpus 2, or --nproc 4 "
        f"to train on the CPU. {WAIT}"
    ),
    "--devices 1,0": (
        "--devices 1,0: cuda:0 NVIDIA H200 is held by run-3 of this notebook, which is still going "
        "on. Wait until run-3 has ended, or stop it: %ddp_stop run-3."
    ),
}


@pytest.mark.parametrize(("line", "told"), COLLIDE.items(), ids=COLLIDE)
def test_a_run_that_collides_with_another_of_the_notebook_is_refused(line: str, told: str) -> None:
    with pytest.raises(DeviceError) as refused:
        place(line, FOUR, claims=CLAIMED)

    assert str(refused.value) == told


def test_a_gpu_of_another_run_of_the_notebook_is_not_offered_to_be_shared() -> None:
    with pytest.raises(DeviceError) as refused:
        place("--gpus 2", Machine(gpu(0), gpu(1, ALICE)), claims=CLAIMED)

    assert str(refused.value).endswith(
        "cuda:1 NVIDIA H200 is held by python (pid 42, alice, 31.0 GiB). Write --nproc 2 to train "
        "on the CPU. Wait until run-3 has ended, or stop it: %ddp_stop run-3."
    )


@pytest.mark.parametrize(
    ("value", "indices"),
    [
        ("0", [0]),
        (" 1 , 0 ", [1, 0]),
        ("1gpu,+2", [1, 2]),
        ("3,", [3]),
        ("0,GPU-11", [0]),
        ("GPU-11,0", [1]),
        ("GPU-11,MIG-1", [1]),
        ("GPU-", []),
        ("0,1,0", []),
        ("GPU-00,GPU-0000", []),
        ("none", []),
        ("", []),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(value: str, indices: list[int]) -> None:
    seen = visible(FOUR.there, {"CUDA_VISIBLE_DEVICES": value})

    assert [each.index for each in seen.gpus] == indices


def test_others_are_told_from_this_kernel_and_from_a_desktop() -> None:
    assert holders_of(gpu(0, ALICE, OWN, DESKTOP), kernel_pid=KERNEL) == (ALICE,)


def test_what_this_kernel_holds_is_said_for_a_worker_out_of_memory() -> None:
    both = Machine(gpu(0, OWN), gpu(1, ALICE), gpu(2, OWN))

    assert kernel_memory(both, environ={}, kernel_pid=KERNEL) == (
        "this kernel itself holds 3.0 GiB on cuda:0 NVIDIA H200 and 3.0 GiB on cuda:2 NVIDIA H200"
    )
    assert kernel_memory(FOUR, environ={}, kernel_pid=KERNEL) == ""
    assert kernel_memory(NO_DRIVER, environ={}, kernel_pid=KERNEL) == ""


def test_a_kernel_that_opened_cuda_is_known_by_its_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open(os.devnull, "rb") as stand_in:
        assert not uses_cuda(os.getpid())
        assert not uses_cuda(2**22 + 1)
        real = os.readlink
        fd = f"/fd/{stand_in.fileno()}"
        monkeypatch.setattr(
            os, "readlink", lambda p: "/dev/nvidia-uvm" if str(p).endswith(fd) else real(p)
        )

        assert uses_cuda(os.getpid())


@pytest.mark.parametrize(
    ("text", "has_cuda"),
    [
        ("cuda: Optional[str] = None", False),
        ("cuda: Optional[str] = '13.0'", True),
        ("cuda = '12.4'", True),
        ("cuda = None", False),
        ("debug = False", None),
        ("cuda = (", None),
    ],
)
def test_the_build_of_torch_is_read_and_not_imported(
    text: str, has_cuda: object, tmp_path: Path
) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "version.py").write_text(text)
    asked = "from ddp_magic.devices import torch_has_cuda; print(torch_has_cuda())"
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    command = [sys.executable, "-c", asked]
    answer = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == str(has_cuda)


@pytest.mark.parametrize(("cuda", "has_cuda"), [("13.0", True), (None, False)])
def test_an_imported_torch_is_asked_itself(
    cuda: str | None, has_cuda: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = SimpleNamespace(cuda=cuda)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(version=version))

    assert torch_has_cuda() is has_cuda


class FakeLibrary:
    """What pynvml would say on a machine with a card, a divided card and a withheld one."""

    NVMLError = pynvml.NVMLError
    NVMLError_LibraryNotFound = pynvml.NVMLError_LibraryNotFound
    NVML_DEVICE_MIG_ENABLE = 1
    nvmlMemory_v2 = 2

    def __init__(self, *, old: bool = False, init: int = 0, count: int = 0) -> None:
        self.old = old
        self.init = init
        self.count = count
        self.open = 0

    def nvmlInit(self) -> None:
        if self.init:
            raise pynvml.NVMLError(self.init)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        if self.count:
            raise pynvml.NVMLError(self.count)
        return 3

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        if index == 2:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        return f"GPU-{index}"

    def nvmlDeviceGetMigMode(self, handle: str) -> list[int]:
        if handle == "GPU-0":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, number: int) -> str:
        if number != 3:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return "MIG-3"

    def nvmlDeviceGetUUID(self, handle: str) -> str | bytes:
        return handle.encode() if self.old else handle

    def nvmlDeviceGetName(self, handle: str) -> str:
        return f"Card {handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: str, version: int = 0) -> Any:
        if version and self.old:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        return SimpleNamespace(total=100, free=60, reserved=7)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:
        if handle == "MIG-3":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        return [
            SimpleNamespace(pid=os.getpid(), usedGpuMemory=20),
            SimpleNamespace(pid=2**22 + 1, usedGpuMemory=None),
        ]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: str) -> list[Any]:
        both = [os.getpid(), os.getppid()]
        return [SimpleNamespace(pid=pid, usedGpuMemory=1) for pid in both]


def test_the_drivers_word_is_put_in_our_terms() -> None:
    library = FakeLibrary()
    whole, divided = Nvml(library).gpus()

    assert (whole.uuid, whole.name, whole.total, whole.free) == ("GPU-0", "Card GPU-0", 93, 60)
    assert [(h.pid, h.used, h.compute) for h in whole.holders] == [
        (os.getpid(), 20, True),
        (2**22 + 1, None, True),
        (os.getppid(), 1, False),
    ]
    assert whole.holders[0].name
    assert whole.holders[0].user
    assert whole.holders[1].name == ""
    assert (divided.uuid, divided.index, divided.mig) == ("MIG-3", 1, True)
    assert divided.parent == "GPU-1"
    assert library.open == 0


def test_an_old_driver_tells_no_reserved_memory_and_gives_bytes() -> None:
    whole, divided = Nvml(FakeLibrary(old=True)).gpus()

    assert (whole.uuid, whole.total) == ("GPU-0", 100)
    assert divided.parent == "GPU-1"


@pytest.mark.parametrize(
    ("library", "message"),
    [
        (
            FakeLibrary(init=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND),
            "no NVIDIA driver is installed",
        ),
        (
            FakeLibrary(init=pynvml.NVML_ERROR_DRIVER_NOT_LOADED),
            "the NVIDIA driver cannot be asked (Driver Not Loaded)",
        ),
        (
            FakeLibrary(init=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH),
            "the NVIDIA driver cannot be asked (RM has detected an NVML/RM version mismatch.)",
        ),
        (
            FakeLibrary(count=pynvml.NVML_ERROR_GPU_IS_LOST),
            "the NVIDIA driver does not answer (GPU is lost)",
        ),
    ],
)
def test_a_driver_that_is_missing_or_broken_is_one_sentence(
    library: FakeLibrary, message: str
) -> None:
    with pytest.raises(DeviceError) as caught:
        Nvml(library).gpus()

    assert str(caught.value) == message
    assert library.open == 0


def test_this_machine_places_two_workers_somewhere() -> None:
    placement = choose(
        parse("--nproc 2"), Nvml(), environ=os.environ, kernel_pid=os.getpid(), cuda_build=None
    )

    on_cpu = placement.env == {"CUDA_VISIBLE_DEVICES": ""}
    assert placement.labels == CPU2 if on_cpu else placement.labels[0].startswith(("cuda", "GPU"))
    assert placement.world_size == 2
