"""The kill matrix's scenarios for workers that wait, which no run has adopted yet.

Where the kernel lives, a cell follows the blow at once: it has to run cold, without an error.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from scenarios import SHORT, Scenario, is_importing, is_stopped
from setting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from kill_matrix import Case

__all__ = ["WAITING"]


def _strike(*kinds: str) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        case.kill(*kinds)

    return act


def _then_a_cell(
    kind: str, number: signal.Signals = signal.SIGKILL, count: int | None = None
) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        victims = case.look()[kind][:count]
        case.kill_these(victims, number)
        if number == signal.SIGSTOP:
            until(lambda: all(map(is_stopped, victims)))
        case.start()

    return act


def _stop_ranks_and_kill(case: Case) -> None:
    ranks = case.look()["ranks"]
    case.kill_these(ranks, signal.SIGSTOP)
    until(lambda: all(map(is_stopped, ranks)))
    case.kill("kernel")


def _unload(case: Case) -> None:
    case.look()
    case.began()
    case.kernel.run("%unload_ext ddp_magic")


def _shut_down(case: Case) -> None:
    case.look()
    case.began()
    case.kernel.manager.shutdown_kernel(now=False)


def _restart(case: Case) -> None:
    case.restart()


def _kill_while_importing(case: Case) -> None:
    until(lambda: is_importing(case))
    case.kill("kernel")


def _scenario(what: str, act: Callable[[Case], None], *, lives: bool = False) -> Scenario:
    return Scenario(name=f"waiting: {what}", body=SHORT, act=act, kernel_lives=lives, waiting=True)


WAITING = (
    _scenario("SIGKILL of the kernel", _strike("kernel")),
    _scenario("SIGKILL of the kernel, ranks importing torch", _kill_while_importing),
    _scenario("SIGKILL of kernel and guard", _strike("guard", "kernel")),
    _scenario("SIGKILL of kernel, guard and agent", _strike("guard", "agent", "kernel")),
    _scenario("restart of the kernel", _restart),
    _scenario("shutdown of the kernel", _shut_down),
    _scenario("%unload_ext", _unload),
    _scenario("SIGKILL of one rank", _then_a_cell("ranks", count=1), lives=True),
    _scenario("SIGKILL of agent", _then_a_cell("agent"), lives=True),
    _scenario("SIGKILL of guard", _then_a_cell("guard"), lives=True),
    _scenario("SIGSTOP of one rank", _then_a_cell("ranks", signal.SIGSTOP, 1), lives=True),
    _scenario("SIGSTOP of agent", _then_a_cell("agent", signal.SIGSTOP), lives=True),
    _scenario("SIGSTOP of guard", _then_a_cell("guard", signal.SIGSTOP), lives=True),
    _scenario("SIGSTOP of ranks, then SIGKILL of the kernel", _stop_ranks_and_kill),
)
