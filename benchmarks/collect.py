"""What it takes to collect and write a big notebook, beside cloudpickle, in one run.

1,000 cells have run, with 300 definitions, of which the %%ddp cell reaches 40. "first" is the first
%%ddp cell of the notebook, "again" the next one, after an edit of one definition. cloudpickle
gets the body as a function, whose closure it dumps into memory: by value, nothing checked and
nothing written. The last table doubles the notebook's length, then what is reachable.

    python benchmarks/collect.py
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import statistics
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from ddp_magic import script
from ddp_magic.collect import Collector
from ddp_magic.rundir import RunDir
from ddp_magic.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 15
BODY = "trainer = Trainer0(rate, steps)\nprint(trainer.train(), helper0(3))\n"


class Notebook:
    """A real shell in which a long notebook has run.

    Args:
        cells: How many cells.
        definitions: How many of them define something.
        reached: How many definitions the body reaches.
        late: Whether the extension is loaded after the cells.
    """

    def __init__(self, *, cells: int, definitions: int, reached: int, late: bool = False) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        InteractiveShell.clear_instance()
        self.shell = InteractiveShell.instance(config=config)
        sys.modules["__main__"].__dict__.update(self.shell.user_ns)
        self._front = None if late else Shell(self.shell)
        self._folder = Path(tempfile.mkdtemp())
        self._runs = 0
        for source in notebook(cells, definitions, reached):
            self.run(source)

    @property
    def front(self) -> Shell:
        """The extension's side of the shell."""
        self._front = self._front or Shell(self.shell)
        return self._front

    def run(self, source: str) -> None:
        """Run a cell; what it shows is not looked at."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.shell.run_cell(source, store_history=True).raise_error()

    def collect(self) -> tuple[float, int]:
        """Collect and write; return seconds and how many names went."""
        self._runs += 1
        begun = time.perf_counter()
        run = RunDir.create(self._folder / f"run-{self._runs}")
        collector = Collector(self.front.cell(BODY), self.front, run, self.front.cells)
        collector.gather()
        definitions = collector.finish(())
        script.write(definitions, run, header=["benchmark"])
        took = time.perf_counter() - begun
        run.remove()
        return took, len(definitions.items)

    def dump(self) -> float:
        """Let cloudpickle dump the body; return seconds."""
        space = dict(self.shell.user_ns)
        exec("def body():\n" + textwrap.indent(BODY, "    "), space)
        begun = time.perf_counter()
        cloudpickle.dumps(space["body"])
        return time.perf_counter() - begun


def notebook(cells: int, definitions: int, reached: int) -> list[str]:
    """Return the cells: definitions, of which some form a chain, and everyday statements."""
    sources = ["import math, json\nfrom collections import OrderedDict, defaultdict", SETTINGS]
    for number in range(definitions):
        later = number + 2 if number + 2 < reached else None
        make = trainer if number % 2 == 0 else helper
        sources.append(make(number // 2, None if later is None else later // 2))
    while len(sources) < cells:
        number = len(sources)
        sources.append(EVERYDAY[number % len(EVERYDAY)].format(n=number))
    return sources


SETTINGS = "rate = 0.1\nsteps = 10\nsettings = {'seed': 1, 'names': ['a', 'b']}"
EVERYDAY = [
    "frame_{n} = [i * {n} for i in range(50)]\nlen(frame_{n})",
    "for i in range(3):\n    last_{n} = i * {n}\nlast_{n}",
    "summary_{n} = {{'mean': {n}, 'rows': [{n}] * 5}}\nsummary_{n}['mean'] += 1",
    "# look at it\nsorted([{n}, 2, 1])[:2]",
]


def trainer(number: int, later: int | None) -> str:
    """Return a cell with a class that may need the next one."""
    made = "None" if later is None else f"Trainer{later}(rate, steps)"
    return f'''
class Trainer{number}:
    """Trains part {number}."""

    kind = "part {number}"

    def __init__(self, lr=0.1, epochs=3):
        self.lr = lr
        self.epochs = epochs
        self.inner = {made}

    def train(self):
        total = 0.0
        for epoch in range(self.epochs):
            total += self.step(epoch) * settings["seed"]
        return total if self.inner is None else total + self.inner.train()

    def step(self, epoch):
        return math.exp(-self.lr * epoch)
'''


def helper(number: int, later: int | None) -> str:
    """Return a cell with a function that may need the next one."""
    needs = f"helper{later}(x) + {number}" if later is not None else f"{number}"
    return f'''
def helper{number}(x, scale=2.0, *, bias=0):
    """Scale and shift."""
    values = OrderedDict(a=x * scale, b=x + bias)
    return sum(values.values()) + {needs}
'''


@contextlib.contextmanager
def at_rest() -> Iterator[None]:
    """Keep the garbage collector at rest."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def main() -> None:
    """Print the tables."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for late in (False, True):
        _compare(late=late)
    sizes = ((1000, 300, 40), (4000, 300, 40), (1000, 300, 80), (1000, 300, 160))
    for cells, definitions, reached in sizes:
        notes = Notebook(cells=cells, definitions=definitions, reached=reached)
        notes.collect()
        with at_rest():
            took = statistics.median(notes.collect()[0] for _ in range(ROUNDS))
        print(f"{cells} cells, {reached} of {definitions} definitions: {took * 1e3:.1f} ms")


def _compare(*, late: bool) -> None:
    notes = Notebook(cells=1000, definitions=300, reached=40, late=late)
    first, names = notes.collect()
    # in turns, so that a busy machine slows all three
    with at_rest():
        rounds = [(notes.dump(), notes.collect()[0], _edited(notes)) for _ in range(ROUNDS)]
    plain, again, edited = (statistics.median(each) for each in zip(*rounds, strict=True))
    loaded = "last" if late else "first"
    print(f"1,000 cells, 300 definitions, {names} names reached; extension loaded {loaded}")
    for what, took in (("first", first), ("again", again), ("after an edit", edited)):
        ratio = f"{took / plain:5.1f} x cloudpickle ({plain * 1e3:.1f} ms)"
        print(f"  {what:14} {took * 1e3:7.1f} ms   {ratio}")


def _edited(notes: Notebook) -> float:
    notes.run(trainer(3, 4).replace("total = 0.0", "total = 0"))
    return notes.collect()[0]


if __name__ == "__main__":
    main()
