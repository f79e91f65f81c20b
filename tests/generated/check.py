"""What counts as a failure of a generated notebook, and its smallest form."""

from __future__ import annotations

from tests.generated.bench import Bench, Outcome
from tests.generated.notebook import Notebook
from tests.generated.shrink import shrink

__all__ = ["Checker"]

_REFUSALS = ("is a generator,", "is a coroutine,", "is an async generator,")
"""What a refusal says of what no process can send."""


class Checker:
    """Runs notebooks and judges."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def run(self, notebook: Notebook) -> Outcome:
        """Run and compare one; a refusal that is right is no failure."""
        outcome = self._bench.run(notebook)
        if outcome.failure == "refused":
            lines = outcome.detail.splitlines()
            if all(any(text in line for text in _REFUSALS) for line in lines):
                outcome.failure = "refused, rightly"
        return outcome

    def is_failure(self, outcome: Outcome) -> bool:
        """Whether something is wrong."""
        return outcome.failure not in (None, "refused, rightly")

    def shrink(self, notebook: Notebook) -> Notebook:
        """Return a small notebook that fails as this one does."""
        wanted = self.run(notebook).failure
        return shrink(notebook, lambda smaller: self.run(smaller).failure == wanted)

    def require(self, notebook: Notebook) -> Outcome:
        """Fail, with the smallest notebook that does, if it does anything else in the worker."""
        outcome = self.run(notebook)
        if self.is_failure(outcome):
            small = self.shrink(notebook)
            raise AssertionError(f"\n{small.text}\n\n{self.run(small).told}")
        return outcome
