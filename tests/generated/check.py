"""What counts as a failure of a generated notebook, and its smallest form."""

from __future__ import annotations

from tests.generated.bench import Bench, Outcome
from tests.generated.notebook import Notebook
from tests.generated.shrink import shrink

__all__ = ["Checker"]

_REFUSALS = ("is a generator", "is a coroutine", "is an async generator", "has no hash now")
"""What a refusal says of what no process can send."""
_NOTEBOOKS = "NameError: name 'In' is not defined"
"""Where a cell that would have bound the name has failed, it is IPython's own."""
_OWN_WAY = {"reduced", "reduced ex", "new arguments", "subclass of tuple"}
"""Rules whose classes say how they are pickled, and cannot where they hold themselves."""


class Checker:
    """Runs notebooks and judges."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def run(self, notebook: Notebook) -> Outcome:
        """Run and compare one; a refusal that is right is no failure."""
        outcome = self._bench.run(notebook)
        if outcome.failure == "refused":
            lines = outcome.detail.splitlines()
            known = [*_REFUSALS, *(["deep recursion"] if _OWN_WAY & {*notebook.used} else [])]
            if all(any(text in line for text in known) for line in lines):
                outcome.failure = "refused, rightly"
        if _NOTEBOOKS in outcome.worker and _NOTEBOOKS not in outcome.reference:
            outcome.failure = "refused, rightly"
        return outcome

    def is_failure(self, outcome: Outcome) -> bool:
        """Whether something is wrong."""
        return outcome.failure not in (None, "refused, rightly")

    def shrink(self, notebook: Notebook) -> Notebook:
        """Return a small notebook that fails as this one does."""
        wanted = _kind(self.run(notebook))
        return shrink(notebook, lambda smaller: _kind(self.run(smaller)) == wanted)

    def require(self, notebook: Notebook) -> Outcome:
        """Fail, with the smallest notebook that does, if it does anything else in the worker."""
        outcome = self.run(notebook)
        if self.is_failure(outcome):
            small = self.shrink(notebook)
            raise AssertionError(f"\n{small.text}\n\n{self.run(small).told}")
        return outcome


def _kind(outcome: Outcome) -> str:
    """Return what went wrong, without the names that the notebook happens to use."""
    told = outcome.detail.partition(" is a")[2][:60] if outcome.failure == "refused" else ""
    return f"{outcome.failure}{told}"
