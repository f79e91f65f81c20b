"""What is put around a library's functions behaves as they do."""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from ddp_magic.worker.frameworks import accelerate, patches
from ddp_magic.worker.frameworks.patches import around, patch

LIBRARY = """
def fetch(url, retry=3):
    return url

class Trainer:
    def __init__(self, epochs=1):
        self.epochs = epochs
    def train(self):
        return "trained"
    def __call__(self, more):
        return more
    @classmethod
    def make(cls, epochs):
        return cls(epochs)
    @staticmethod
    def check(what):
        return what
"""
PATHS = ("fetch", *(f"Trainer.{n}" for n in ("__init__", "train", "__call__", "make", "check")))


@around
def passed(wrapped: Any, _: object, args: Any, given: Any) -> Any:
    calls.append(wrapped.__name__)
    return wrapped(*args, **given)


calls: list[str] = []


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = ModuleType("a_library")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(LIBRARY, vars(module))
    for path in PATHS:
        patch(module, path, passed)
    monkeypatch.setattr(patches, "_told", set())
    patch(module, "Trainer.of_a_newer_release", passed, newer=True)
    with pytest.warns(RuntimeWarning, match=r"does not know a_library: .*it has no nothing\.there"):
        patch(module, "nothing.there", passed)
    patch(module, "nothing.either", passed)  # said already
    calls.clear()
    return module


def test_functions_and_methods_of_all_kinds_are_called_as_ever(library: Any) -> None:
    class Mine(library.Trainer):
        def __init__(self) -> None:
            super().__init__(epochs=7)

    mine = Mine()

    assert library.fetch("a") == "a"
    assert (mine.epochs, mine.train(), library.Trainer.train(mine)) == (7, "trained", "trained")
    assert (mine(3), library.Trainer.check(4), mine.check(5)) == (3, 4, 5)
    assert type(library.Trainer.make(2)) is library.Trainer
    assert calls == [
        "__init__", "fetch", "train", "train", "__call__", "check", "check", "make", "__init__",
    ]  # fmt: skip
    assert str(inspect.signature(library.Trainer)) == "(epochs=1)"
    assert str(inspect.signature(library.fetch)) == "(url, retry=3)"


def test_they_are_pickled_and_copied_as_ever(library: Any) -> None:
    trainer = library.Trainer(epochs=3)
    trainer.fetch = library.fetch
    for copied in (copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))):
        assert type(copied) is library.Trainer
        assert (copied.epochs, copied.fetch) == (3, library.fetch)


@pytest.mark.parametrize("given", [{}, {"cpu": False}, {"backend": "gloo"}])
def test_a_state_of_accelerate_is_for_the_cpu_where_workers_are_on_it(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class PartialState:
        def __init__(self, cpu: bool = False, **more: Any) -> None:  # noqa: FBT001, FBT002
            self.given = {"cpu": cpu, **more}

    module: Any = ModuleType("accelerate.state")
    module.PartialState = PartialState
    accelerate.count_workers(module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("WORLD_SIZE", "2")

    assert PartialState(**given).given == {**given, "cpu": True}
    assert PartialState(*[False]).given == {"cpu": True}
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert PartialState(**given).given == {"cpu": False, **given}
