"""What is left after every way to die: a real kernel with a real run for each, and a table.

``python benchmarks/kill_matrix.py [WORDS]``; WORDS choose the scenarios whose name has them.
Times are seconds from the blow until the last process of that kind is gone. A guard that `stays`
watches over the directory of a kernel that lives. `files` is when nothing but logs and results of
the run is there (kernel alive) or nothing at all (kernel gone). `left` is what is there after the
kernel was killed too (SIGKILL): processes and files.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from scenarios import SCENARIOS, Scenario, header
from setting import Kernel, command_line, describe, kernel, placed, table, until

from ddp_magic.processes import marked, start_time, wait_gone

if TYPE_CHECKING:
    from pathlib import Path

HEADS = ("scenario", "kernel", "guard", "agent", "ranks", "children", "cell", "files", "left")
PATIENCE = 30.0


class Case:
    """One scenario under way.

    Attributes:
        place: The kernel's temporary directory.
        pids: The processes of the run when the blow fell, by kind.
    """

    def __init__(self, kernel: Kernel, place: Path, scenario: Scenario) -> None:
        self.kernel = kernel
        self.place = place
        self.marks = place.parent
        self.pids: dict[str, list[int]] = {}
        self._scenario = scenario
        self._request = kernel.start(header(scenario, self.marks))
        self._began = 0.0
        self._cell = "-"
        self._restarting: threading.Thread | None = None

    def marker(self, name: str) -> None:
        """Wait for a file that the cell makes."""
        until((self.marks / name).exists)

    def look(self) -> dict[str, list[int]]:
        """Note and return who is there."""
        kinds: dict[str, list[int]] = defaultdict(list)
        for pid in marked(self.place):
            kinds[_kind(pid)].append(pid)
        self.pids = {"kernel": [self.kernel.pid], **kinds}
        return self.pids

    def kill(self, *kinds: str, number: signal.Signals = signal.SIGKILL) -> None:
        """The blow: to all processes of these kinds, at once."""
        self.look()
        self.kill_these([pid for kind in kinds for pid in self.pids[kind]], number)

    def kill_these(self, pids: list[int], number: signal.Signals = signal.SIGKILL) -> None:
        """The blow: to these processes."""
        self.began()
        for pid in pids:
            os.kill(pid, number)

    def interrupt(self) -> None:
        """The blow: what the front-end's stop button does."""
        self.look()
        self.began()
        self.kernel.manager.interrupt_kernel()

    def restart(self) -> None:
        """The blow: what the front-end's restart button does, while we watch."""
        self.look()
        self.began()
        self._restarting = threading.Thread(
            target=self.kernel.manager.restart_kernel, kwargs={"now": False}
        )
        self._restarting.start()

    def began(self) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def watch(self) -> tuple[str, ...]:
        """Wait until all that must go is gone; return the row but its last column."""
        alive = self._scenario.kernel_lives
        cell = threading.Thread(target=self.finished, daemon=True)
        if alive:
            cell.start()
        kept = {"kernel", "guard"} if alive else set[str]()
        left = {pid: kind for kind, pids in self.pids.items() for pid in pids}
        times: dict[str, str] = {}
        files = ""
        while time.monotonic() - self._began < PATIENCE:
            now = f"{time.monotonic() - self._began:.2f}"
            for pid in [p for p in left if start_time(p) is None]:
                times[left.pop(pid)] = now
            if not files and self._clean(alive=alive):
                files = now
            if files and set(left.values()) <= kept and not cell.is_alive():
                break
            time.sleep(0.005)
        if self._restarting is not None:
            self._restarting.join()
        for kind in left.values():
            times[kind] = "stays" if kind in kept else f"ALIVE {PATIENCE:.0f}"
        columns = [times.get(kind, "-") for kind in HEADS[1:6]]
        return (self._scenario.name, *columns, self._cell if alive else "-", files or "NEVER")

    def finished(self) -> None:
        """Wait for the cell's end."""
        status, _ = self.kernel.finish(self._request)
        self._cell = f"{status} {time.monotonic() - self._began:.2f}"

    def _clean(self, *, alive: bool) -> bool:
        if not alive:
            return not list(self.place.iterdir())
        there = {p.name for run in self.place.glob("ddp_magic-*/run-*") for p in run.iterdir()}
        return there <= {"logs", "results"}


def _kind(pid: int) -> str:
    line = command_line(pid)
    if "worker/boot.py" in line and _is_rank(pid):
        return "ranks"
    for part, kind in (("guard/__main__.py", "guard"), ("ddp_magic/agent.py", "agent")):
        if part in line:
            return kind
    return "children"


def _is_rank(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid) == pid
    return False


def play(scenario: Scenario) -> tuple[str, ...]:
    """Run one scenario with a kernel of its own; return its row."""
    with placed() as place:
        with kernel() as made:
            made.run("%load_ext ddp_magic")
            case = Case(made, place, scenario)
            scenario.act(case)
            row = case.watch()
        left = leftovers(place)
        if left != "nothing":
            with kernel() as another:
                another.run("%load_ext ddp_magic")
                another.run("%%ddp --nproc 1\n1")
            left = f"{left}; after the next kernel's run: {leftovers(place)}"
    return (*row, left)


def leftovers(place: Path) -> str:
    """Say what is left of a kernel that was killed."""
    processes = wait_gone(marked(place), 20)
    files = [p for p in place.rglob("*") if not p.is_dir()]
    said = [command_line(p)[:60] for p in processes]
    return ", ".join(said + [f"{len(files)} files"] * bool(files)) or "nothing"


def main(words: list[str]) -> None:
    """Play the scenarios that were asked for."""
    describe()
    rows = [HEADS]
    for scenario in SCENARIOS:
        if all(word in scenario.name for word in words):
            print(f"... {scenario.name}", file=sys.stderr)
            rows.append(play(scenario))
    table(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
