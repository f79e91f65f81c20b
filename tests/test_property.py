"""Whatever a notebook holds, a body does in a worker what it does in the notebook.

`tests.generated` draws the notebooks; ``benchmarks/property.py`` tries thousands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.generated.bench import Bench
from tests.generated.check import Checker
from tests.generated.generate import generate
from tests.generated.notebook import Notebook

pytestmark = pytest.mark.slow

_EXAMPLES = 150
_OFTEN = (
    "function", "class", "instance", "closure", "shared container", "function with attributes",
    "class that no name has", "class with a base here", "instance of no named class",
)  # fmt: skip
"""What one example in thirty has, at least."""


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Bench() as bench:
        yield Checker(bench)


def test_a_body_does_in_a_worker_what_it_does_in_the_notebook(checker: Checker):
    met: Counter[str] = Counter()

    @settings(
        derandomize=True,
        max_examples=_EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def compare(random: Random) -> None:
        outcome = checker.require(generate(random))
        met.update(dict.fromkeys([*outcome.facts, *(how.split()[0] for how in outcome.how)], 1))
        met["lines"] += outcome.reference.count("\n")
        met["errors"] += outcome.reference.count("\n! ")

    compare()

    assert [fact for fact in (*_OFTEN, "source", "value") if met[fact] < _EXAMPLES / 30] == []
    assert met["errors"] < met["lines"] / 5


BROKEN = {
    "the worker tells something else": (
        "import os\nx = os.getpid()\nf = lambda: os.getpid() == x",
        "f()",
    ),
    "the worker cannot load: ZeroDivisionError: division by zero": (
        ("class A:\n    def __reduce__(self): return divide, (0,)\n"
        "def divide(x): return 1 / x\na = A()"),
        "a",
    ),
    "collecting has changed the notebook": (
        "class A:\n    def __getstate__(self):\n        self.n = 1\n        return {}\na = A()",
        "a",
    ),
    "refused": ("import socket\na = socket.socket()", "a"),
}  # fmt: skip


@pytest.mark.parametrize("failure", BROKEN)
def test_what_differs_is_found_and_made_small(checker: Checker, failure: str):
    cell, expression = BROKEN[failure]
    body = f"from probes import attempt\nattempt(lambda: {expression})"
    notebook = Notebook(cells=("unused = [1]", cell, "b = unused"), body=body)

    outcome = checker.run(notebook)
    small = checker.shrink(notebook)

    assert outcome.failure == failure
    assert "unused" not in small.text
