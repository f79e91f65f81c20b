"""How long an interactive cell takes on two gloo workers, beside what else does that: in one run.

    python benchmarks/latency.py [--only PART,...] [--repeat N] [--peers DIR] [--json F] [--plot F]

Every cell goes through a real ipykernel and is timed by the client, from sending the request
("Enter") to the moment that matters. Every way has a kernel of its own, which has imported torch
and lives for all repetitions; only those called "start" get a new one each time. The ways take
turns, in the other order every other round, and each begins when what the others started rests.
The first peers' run makes an environment for them (torch of our version, some minutes); for `warm`,
a group of workers waits before each run. Parts:

    cells        Enter -> first all_reduce done in rank 0, and -> cell done, of all ways; a way's
                 own name (warm, cold, torchrun, accelerate, ...) measures only that
    after-load   the first run, 5 s after %load_ext in a kernel that has imported torch
    load         what %load_ext costs the kernel
    steps        steps per second of a training, beside torchrun
    print        print in rank 0 -> message at the client
    many         8 workers, warm and cold

--plot draws where a run's time goes; it needs `cells` with warm or cold, and matplotlib, which the
peers' environment has.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from latency_kernel import CellFailed, Notebook, notebook
from latency_ours import COLD, MAGICS, PARTS, PYTHON, has_standby, settle
from latency_ways import IMPORTS, WAYS, Way, default_place, installed
from setting import describe, placed, table

__all__ = ["main"]

REPEAT = 7
KEYS = list(dict.fromkeys(way.key for way in WAYS))


class Comparison:
    """All ways in turns.

    Attributes:
        samples: By way, one for each round: seconds to the first all_reduce and to the cell's end,
            or why there are none; with ours, the moments between.
        failed: By way, why it could not be measured at all.
    """

    def __init__(self, ways: list[Way], place: Path, peers: Path) -> None:
        self.ways = [replace(w, cells=(_plain(w),)) if w.key == "cold" else w for w in ways]
        self.samples: dict[str, list[dict[str, Any]]] = {way.name: [] for way in ways}
        self.failed: dict[str, str] = {}
        self._place = place
        self._pythons = {True: peers / "bin" / "python", False: PYTHON}
        self._books: dict[str, Notebook] = {}

    def run(self, rounds: int) -> None:
        """Start the kernels that live on, let each run once, and measure."""
        with ExitStack() as stack:
            for way in self.ways:
                if way.name not in self.failed and not way.anew:
                    self._open(way, stack)
            for number in range(rounds):
                for way in self.ways if number % 2 == 0 else self.ways[::-1]:
                    if way.name not in self.failed:
                        self._rest()
                        self.samples[way.name].append(self._sample(way))
                print(f"round {number + 1} of {rounds} is over", file=sys.stderr, flush=True)

    def _open(self, way: Way, stack: ExitStack) -> None:
        """Start a way's kernel and let it run once."""
        try:
            book = stack.enter_context(notebook(self._pythons[bool(way.package)], self._place))
            for code in (IMPORTS, *way.before, *way.cells):
                book.run(code)
            self._books[way.name] = book
            if way.key == "warm" and not has_standby(book):
                self.failed[way.name] = "not available: this ddp_magic keeps no workers waiting"
        except CellFailed as error:
            self.failed[way.name] = str(error)

    def _rest(self) -> None:
        """Wait until nothing that was started before takes part of the machine."""
        for way in self.ways:
            if way.name in self._books:
                self._books[way.name].rest()
                if way.key == "warm" and way.name not in self.failed:
                    settle(self._books[way.name])

    def _sample(self, way: Way) -> dict[str, Any]:
        try:
            if not way.anew:
                return _timed(way, self._books[way.name])
            with notebook(self._pythons[bool(way.package)], self._place) as book:
                for code in (IMPORTS, *way.before):
                    book.run(code)
                book.rest()
                return _timed(way, book)
        except CellFailed as error:
            return {"failed": str(error)}


def _plain(way: Way) -> str:
    """Return a cold cell without an option that this ddp_magic does not know."""
    return way.cells[0] if COLD else way.cells[0].replace(" --cold", "")


def _timed(way: Way, book: Notebook) -> dict[str, Any]:
    """Run a way's cells and return the seconds."""
    runs = [book.run(code) for code in way.cells]
    if way.anew and not runs[-1].printed("FIRST"):
        runs.append(book.run(way.cells[-1]))
    sent, replied = runs[0].sent, runs[-1].replied
    if not way.ours:
        return {"first": runs[-1].number("FIRST") - sent, "done": replied - sent}
    started, imported, joined, reduced = book.ask("moments")
    marks = book.ask(f"dict(getattr({MAGICS}.runs.last, 'marks', {{}}))")
    marks |= {"started": started, "imported": imported, "joined": joined, "reduced": reduced}
    marks["replied"] = replied
    since = {name: at - sent for name, at in marks.items()}
    return {"first": reduced - sent, "done": replied - sent, "marks": since}


def tell(found: Comparison) -> None:
    """Print a table for each of both moments, and the raw runs."""
    for moment, title in (("first", "first all_reduce done in rank 0"), ("done", "cell done")):
        good = {
            way.name: [s[moment] for s in found.samples[way.name] if moment in s]
            for way in found.ways
        }
        medians = {name: statistics.median(taken) for name, taken in good.items() if taken}
        keyed = {way.key: medians.get(way.name) for way in found.ways if way.key in _BASES}
        rows = [("way", "median s", *(f"/ {base}" for base in _BASES), "value back", "runs")]
        rows += [_row(way, good[way.name], keyed, found) for way in found.ways]
        print(f"Enter -> {title}")
        table(rows)


_BASES = ("torchrun", "warm", "cold")


def _row(
    way: Way, taken: list[float], bases: dict[str, float | None], found: Comparison
) -> tuple[str, ...]:
    """Return one way's line: its median, in how many times that of others, and its runs."""
    faults = [s["failed"] for s in found.samples[way.name] if "failed" in s]
    why = found.failed.get(way.name) or (faults[0] if faults else "")
    said = f"failed {len(faults) or 'at the start'}: {' '.join(why.split())[:120]}" if why else ""
    if not taken:
        return (way.name, "-", *("-" for _ in _BASES), "-", said)
    median = statistics.median(taken)
    ratios = [f"{median / base:.2f}" if (base := bases.get(key)) else "-" for key in _BASES]
    raw = " ".join(f"{one:.2f}" for one in taken)
    return (way.name, f"{median:.2f}", *ratios, way.back, f"{raw} {said}")


def main() -> None:
    line = _options()
    chosen = line.only.split(",") if line.only else ["cells", *PARTS]
    if unknown := set(chosen) - {"cells", *KEYS, *PARTS}:
        sys.exit(f"--only: {', '.join(sorted(unknown))}? There are cells, {_listed()}.")
    raw: dict[str, Any] = {"versions": {}, "failed": {}}
    with placed() as place:
        describe()
        ways = [way for way in WAYS if {"cells", way.key} & set(chosen)]
        if ways:
            found = Comparison(ways, place, line.peers)
            packages = list(dict.fromkeys(way.package for way in ways if way.package))
            if packages or line.plot:
                raw["versions"] = _prepare(found, packages, line.peers)
            found.run(line.repeat)
            tell(found)
            raw |= {"cells": found.samples, "failed": found.failed}
        for name in (name for name in PARTS if name in chosen):
            try:
                raw[name] = PARTS[name](place, line.repeat)
            except CellFailed as error:
                raw["failed"][name] = str(error)
                print(f"{name}: failed: {error}\n")
    if line.json:
        line.json.write_text(json.dumps(raw, indent=1) + "\n", "utf-8")
    if line.plot:
        _plot(raw, line.plot, line.peers)


def _listed() -> str:
    return ", ".join([*KEYS, *PARTS])


def _prepare(found: Comparison, packages: list[str], place: Path) -> dict[str, str]:
    """See to the peers' environment; note what is not there, and print what is."""
    versions, reasons = installed(place, packages)
    print("peers: " + ", ".join(f"{name} {versions.get(name, '-')}" for name in packages) + "\n")
    for way in found.ways:
        if way.package in reasons:
            found.failed[way.name] = f"not installed: {reasons[way.package]}"
    return versions


def _plot(raw: dict[str, Any], path: Path, peers: Path) -> None:
    """Draw in whichever environment has matplotlib: the peers', or this one."""
    python = peers / "bin" / "python"
    script = Path(__file__).parent / "latency_plot.py"
    done = subprocess.run(
        [str(python if python.exists() else PYTHON), str(script), "-", str(path)],
        input=json.dumps(raw.get("cells", {})),
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit("Nothing was drawn.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="PART,...", help=f"cells, {_listed()}")
    parser.add_argument("--repeat", type=int, default=REPEAT, metavar="N")
    parser.add_argument("--peers", type=Path, default=default_place(), metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
