"""The kill matrix's scenarios: what the ranks do, which blow falls, and when.

Every blow waits for a marker that the ranks made, or for what /proc tells, and never for the clock.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from setting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from kill_matrix import Case

__all__ = ["SCENARIOS", "SHORT", "Scenario", "header", "is_importing", "is_stopped"]

_GROUP = """
import os, signal, subprocess, sys, time
import torch, torch.distributed as dist
dist.init_process_group("gloo")
rank = dist.get_rank()
def mark(name): open(os.path.join(marks, name), "w").close()
def ready():
    dist.barrier()
    if rank == 0: mark("ready")
"""
_CHILDREN = """
subprocess.Popen(["sleep", "600"])
subprocess.Popen(["setsid", "-f", "sleep", "600"]).wait()
"""
_HANG = f"""{_GROUP}{_CHILDREN}
ready()
if rank == 1: time.sleep(600)
dist.all_reduce(torch.ones(1))
"""
_TRAIN = f"""{_GROUP}
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.01)
for step in range(10**9):
    loss = model(torch.randn(32, 64)).square().mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    if step == 20 and rank == 0: mark("ready")
"""
_IGNORE = f"""{_GROUP}
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: mark(f"ignored.{{rank}}"))
ready()
while True: time.sleep(600)
"""
# A mutex that is locked twice: no processor time, no end, and no signal gets through (sleep(3) and
# re would let Python's handlers run).
_GIL = f"""{_GROUP}
import ctypes
lock, libc = ctypes.create_string_buffer(64), ctypes.PyDLL(None)
ready()
libc.pthread_mutex_lock(lock)
libc.pthread_mutex_lock(lock)
"""
_END = f"""{_GROUP}{_CHILDREN}
ready()
while not os.path.exists(os.path.join(marks, "go")): time.sleep(0.001)
dist.destroy_process_group()
"""
_IMPORTING = "import torch, time\ntime.sleep(600)\n"
SHORT = "1 + 1\n"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One row of the table.

    Attributes:
        name: What happens.
        body: The cell's body.
        act: Waits for the right moment and strikes.
        kernel_lives: Whether the kernel is there afterwards.
        grace: The line's --grace.
        waiting: Whether the blow falls before any cell has asked for workers.
    """

    name: str
    body: str
    act: Callable[[Case], None]
    kernel_lives: bool = False
    grace: int = 3
    waiting: bool = False


def header(scenario: Scenario, marks: Path) -> str:
    """Return the whole cell."""
    line = f"%%ddp --nproc 2 --grace {scenario.grace}"
    return f"{line}\nmarks = {str(marks)!r}\n{scenario.body}"


def _strike(*kinds: str) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        case.marker("ready")
        case.kill(*kinds)

    return act


def _strike_one_rank(case: Case) -> None:
    case.marker("ready")
    case.kill_these(case.look()["ranks"][:1])


def _restart(case: Case) -> None:
    case.marker("ready")
    case.restart()


def _interrupt(case: Case) -> None:
    case.marker("ready")
    case.interrupt()


def _interrupt_twice(case: Case) -> None:
    _interrupt(case)
    for rank in range(2):
        case.marker(f"ignored.{rank}")
    case.interrupt()


def _stop_the_agent(case: Case) -> None:
    case.marker("ready")
    case.kill("agent", number=signal.SIGSTOP)
    until(lambda: is_stopped(case.pids["agent"][0]))
    case.interrupt()


def _let_end(case: Case) -> None:
    case.marker("ready")
    case.look()
    case.began()
    (case.marks / "go").touch()


def _kill_after_the_run(case: Case) -> None:
    case.finished()
    until(lambda: "agent" not in case.look())  # it leaves after the cell's end
    case.kill("kernel")


def _kill_while_importing(case: Case) -> None:
    until(lambda: is_importing(case))
    case.kill("kernel")


def is_importing(case: Case) -> bool:
    """Whether both ranks have begun to import torch."""
    ranks = case.look().get("ranks", [])
    maps = [Path(f"/proc/{pid}/maps").read_text() for pid in ranks]
    return len(ranks) == 2 and all("libtorch_cpu" in text for text in maps)


def is_stopped(pid: int) -> bool:
    """Whether a process has got its SIGSTOP."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


SCENARIOS = (
    Scenario(name="SIGKILL of the kernel", body=_HANG, act=_strike("kernel")),
    Scenario(name="SIGKILL of the kernel, GIL held", body=_GIL, act=_strike("kernel")),
    Scenario(name="SIGKILL of the kernel, signals ignored", body=_IGNORE, act=_strike("kernel")),
    Scenario(
        name="SIGKILL of the kernel, ranks importing torch",
        body=_IMPORTING,
        act=_kill_while_importing,
    ),
    Scenario(name="SIGKILL of the kernel after a run", body=SHORT, act=_kill_after_the_run),
    Scenario(name="SIGKILL of guard", body=_HANG, act=_strike("guard"), kernel_lives=True),
    Scenario(name="SIGKILL of guard, GIL held", body=_GIL, act=_strike("guard"), kernel_lives=True),
    Scenario(name="SIGKILL of agent", body=_HANG, act=_strike("agent"), kernel_lives=True),
    Scenario(name="SIGKILL of one rank", body=_HANG, act=_strike_one_rank, kernel_lives=True),
    Scenario(name="SIGKILL of kernel and guard", body=_HANG, act=_strike("guard", "kernel")),
    Scenario(
        name="SIGKILL of kernel and guard, GIL held", body=_GIL, act=_strike("guard", "kernel")
    ),
    Scenario(name="restart of the kernel", body=_HANG, act=_restart),
    Scenario(name="interrupt, training", body=_TRAIN, act=_interrupt, kernel_lives=True),
    Scenario(name="interrupt, hang in a collective", body=_HANG, act=_interrupt, kernel_lives=True),
    Scenario(name="interrupt, signals ignored", body=_IGNORE, act=_interrupt, kernel_lives=True),
    Scenario(name="interrupt, GIL held", body=_GIL, act=_interrupt, kernel_lives=True),
    Scenario(
        name="second interrupt, signals ignored",
        body=_IGNORE,
        act=_interrupt_twice,
        kernel_lives=True,
        grace=600,
    ),
    Scenario(
        name="interrupt, agent SIGSTOPped", body=_HANG, act=_stop_the_agent, kernel_lives=True
    ),
    Scenario(name="normal end, daemon left", body=_END, act=_let_end, kernel_lives=True),
)
