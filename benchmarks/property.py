"""Generated notebooks by the thousand: does every body do in a worker what it does in the notebook?

    python benchmarks/property.py --examples 3000 --seed 7
    python benchmarks/property.py --replay failures/3.json

Draws notebooks (`tests.generated`), runs each in a real shell and its body in a fresh process, and
prints what differs, made small; then what the notebooks were made of, so that a run without
failures can be judged. ``--plain`` draws without hypothesis, where every example has a number that
draws it again.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent))

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.generated import writer
from tests.generated.bench import Bench, Outcome
from tests.generated.check import Checker
from tests.generated.generate import generate
from tests.generated.notebook import Notebook

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--examples", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="random.Random instead of hypothesis")
    parser.add_argument("--fresh", action="store_true", help="new interpreters as workers")
    parser.add_argument("--show", type=int, default=12, help="how many failures of a kind")
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument("--keep", type=Path, help="a folder for the failures")
    parser.add_argument("--replay", type=Path, nargs="+", help="try kept failures again")
    options = parser.parse_args()
    with Bench(fresh=options.fresh) as bench:
        checker = Checker(bench)
        if options.replay:
            for path in options.replay:
                notebook = Notebook.from_json(path.read_text("utf-8"))
                if checker.is_failure(checker.run(notebook)) and not options.no_shrink:
                    notebook = checker.shrink(notebook)
                print(f"{path}\n{notebook.text}\n\n{checker.run(notebook).told}\n", flush=True)
            return
        tally = _Tally(checker, options)
        draw = _plainly if options.plain else _with_hypothesis
        draw(options, tally)
        tally.report()
        sys.exit(bool(tally.failures))


class _Tally:
    """Runs examples and counts."""

    def __init__(self, checker: Checker, options: argparse.Namespace) -> None:
        self.checker = checker
        self.options = options
        self.failures: dict[str, list[tuple[Notebook, Outcome]]] = {}
        self.counts: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.whys: Counter[str] = Counter()
        self.how: Counter[str] = Counter()
        self.facts: Counter[str] = Counter()
        self.texts: set[str] = set()
        self.began = time.monotonic()

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() - self.began > self.options.seconds

    def add(self, notebook: Notebook) -> None:
        """Run one."""
        self.counts["examples"] += 1
        self.counts["different"] += notebook.text not in self.texts
        self.texts.add(notebook.text)
        outcome = self.checker.run(notebook)
        self.rules.update(set(notebook.used))
        self.whys.update(dict.fromkeys(outcome.whys, 1))
        self.how.update(outcome.how)
        self.facts.update(dict.fromkeys(outcome.facts, 1))
        self.counts["cells"] += len(notebook.cells)
        self.counts["cells that failed"] += sum(map(bool, outcome.cells))
        self.counts["lines of output"] += outcome.reference.count("\n")
        self.counts["lines that tell an error"] += outcome.reference.count("\n! ")
        self.counts["bodies that raise"] += "\nraised " in outcome.reference
        self.counts["refused as they should be"] += outcome.failure == "refused, rightly"
        if self.checker.is_failure(outcome):
            known = self.failures.setdefault(str(outcome.failure), [])
            known.append((notebook, outcome))
            self._keep(notebook)

    def report(self) -> None:
        """Print what there was, and failures, made small."""
        seconds = time.monotonic() - self.began
        number = self.counts["examples"]
        print(f"\n{number} examples in {seconds:.0f} s, {number / seconds:.1f} a second")
        for title, counter in (
            ("", self.counts), ("items by how", self.how), ("examples with", self.facts),
            ("examples where a definition goes by value because", self.whys),
            ("examples by rule", self.rules),
        ):  # fmt: skip
            print("\n" + title)
            for name, count in counter.most_common():
                print(f"{count:8} {name}")
        for kind, found in sorted(self.failures.items()):
            print(f"\n{'=' * 30} {len(found)} times: {kind}")
            for notebook, outcome in found:
                print(f"{outcome.detail.strip()[:300]} [{', '.join(notebook.used)}]", flush=True)
            for notebook in self._smallest([notebook for notebook, _ in found]):
                print(
                    f"\n{'-' * 60}\n{notebook.text}\n\n{self.checker.run(notebook).told}",
                    flush=True,
                )
        failed = sum(map(len, self.failures.values()))
        print(f"\n{failed} of {number} examples failed")

    def _smallest(self, notebooks: list[Notebook]) -> Iterator[Notebook]:
        """Yield the smallest forms of some, those that differ by more than names and numbers."""
        shown: set[str] = set()
        for notebook in sorted(notebooks, key=lambda n: len(n.text))[: self.options.show]:
            small = notebook if self.options.no_shrink else self.checker.shrink(notebook)
            shape = re.sub(r"\b\w+\b", lambda word: _shape(word[0]), small.text)
            if shape not in shown:
                shown.add(shape)
                yield small

    def _keep(self, notebook: Notebook) -> None:
        if self.options.keep:
            self.options.keep.mkdir(exist_ok=True, parents=True)
            path = self.options.keep / f"{self.options.seed}-{self.counts['examples']}.json"
            path.write_text(notebook.to_json(), "utf-8")


def _shape(word: str) -> str:
    drawn = {*writer.FUNCTIONS, *writer.CLASSES, *writer.DATA, *writer.ODD}
    return "" if word in drawn or word.isdigit() else word


def _plainly(options: argparse.Namespace, tally: _Tally) -> None:
    for number in range(options.examples):
        if not tally.over:
            tally.add(generate(Random(options.seed * 1_000_000 + number)))


def _with_hypothesis(options: argparse.Namespace, tally: _Tally) -> None:
    @seed(options.seed)
    @settings(
        max_examples=options.examples,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def try_one(random: Random) -> None:
        notebook = generate(random)  # even if the time is up: hypothesis wants it so
        if not tally.over:
            tally.add(notebook)

    try_one()


if __name__ == "__main__":
    main()
