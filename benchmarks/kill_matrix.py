"""What is left after every way to die: a real kernel with a real run for each, and a table.

``python benchmarks/kill_matrix.py [--standby] [WORDS]``; WORDS choose the scenarios whose name has
them. With ``--standby`` the runs' workers have waited for them, and there are scenarios for workers
that no run has adopted; a cell that follows these blows has to run cold.
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
from pathlib import Path
from unittest.mock import patch

from scenarios import SCENARIOS, Scenario, header
from setting import Kernel, command_line, describe, kernel, placed, table, until
from waiting import WAITING

from ddp_magic.processes import marked, start_time, wait_gone

HEADS = ("scenario", "kernel", "guard", "agent", "ranks", "children", "cell", "files", "left")
PATIENCE = 30.0
LOAD = """
import time, torch
from ddp_magic import magic
%load_ext ddp_magic
keeper = magic._loaded[id(get_ipython())].standby
"""
READY = """
while not keeper.ready(): time.sleep(0.01)
print(keeper.group.run.path)
"""
BORN = "while keeper.group is None: time.sleep(0.01)\nprint(keeper.group.run.path)"


class Case:
    """One scenario under way.

    Attributes:
        place: The kernel's temporary directory.
        pids: The processes of the run when the blow fell, by kind.
    """

    def __init__(self, kernel: Kernel, place: Path, scenario: Scenario, *, warm: bool) -> None:
        self.kernel = kernel
        self.place = place
        self.marks = place.parent
        self.pids: dict[str, list[int]] = {}
        self._scenario = scenario
        self._run: Path | None = None
        self._began = 0.0
        self._cell = "-"
        self._restarting: threading.Thread | None = None
        if warm:
            _, told = kernel.run(BORN if "importing" in scenario.name else READY)
            self._run = Path(told.strip())
        if not scenario.waiting:
            self.start()

    def start(self) -> None:
        """Start the cell."""
        self._request = self.kernel.start(header(self._scenario, self.marks))

    def marker(self, name: str) -> None:
        """Wait for a file that the cell makes."""
        until((self.marks / name).exists)

    def look(self) -> dict[str, list[int]]:
        """Note and return who is there."""
        kinds: dict[str, list[int]] = defaultdict(list)
        for pid in marked(self._run or self.place):
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
        if self._scenario.name.endswith("%unload_ext"):
            kept = {"kernel"}
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
        runs = self.place.glob("ddp_magic-*/run-*") if self._run is None else [self._run]
        with contextlib.suppress(FileNotFoundError):
            return {p.name for run in runs for p in run.iterdir()} <= {"logs", "results"}
        return True


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


def play(scenario: Scenario, *, warm: bool) -> tuple[str, ...]:
    """Run one scenario with a kernel of its own; return its row."""
    environment = {"DDP_MAGIC_STANDBY": str(int(warm)), "DDP_MAGIC_STANDBY_LIMIT": "1000"}
    environment["DDP_MAGIC_STANDBY_WORKERS"] = "2"
    with patch.dict(os.environ, environment), placed() as place:
        with kernel() as made:
            made.run(LOAD if warm else "%load_ext ddp_magic")
            case = Case(made, place, scenario, warm=warm)
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


def cold() -> str:
    """Say how long the cell that follows a blow takes where nothing has waited."""
    code = header(WAITING[0], Path("/"))
    seconds: list[float] = []
    with patch.dict(os.environ, {"DDP_MAGIC_STANDBY": "0"}), placed(), kernel() as made:
        made.run(LOAD)
        for _ in range(5):
            began = time.monotonic()
            made.run(code)
            seconds.append(time.monotonic() - began)
    return ", ".join(f"{each:.2f}" for each in seconds)


def main(words: list[str]) -> None:
    """Play the scenarios that were asked for."""
    warm = "--standby" in words
    words = [word for word in words if word != "--standby"]
    describe()
    if warm:
        print(f"a plain cold run of the cell that follows a blow takes, in seconds: {cold()}\n")
    rows = [HEADS]
    for scenario in (*SCENARIOS, *WAITING) if warm else SCENARIOS:
        if all(word in scenario.name for word in words):
            print(f"... {scenario.name}", file=sys.stderr)
            rows.append(play(scenario, warm=warm))
    table(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
