"""What is put around a library's functions behaves as they do."""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import pickle
import sys
from collections.abc import Iterator
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


@pytest.fixture
def launchers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stand-ins for accelerate's modules, imported ahead: the package has the function too."""

    def notebook_launcher(function, args=(), num_processes=None, mixed_precision="no", num_nodes=1):
        raise AssertionError("it would start processes")

    @contextlib.contextmanager
    def patch_environment(**values: str) -> Iterator[None]:
        (name,), (value,) = ([*values] or ["none"]), ([*values.values()] or ["none"])
        monkeypatch.setenv(name.upper(), value)
        yield
        monkeypatch.delenv(name.upper())

    package, utils = ModuleType("accelerate"), ModuleType("accelerate.utils")
    module: Any = ModuleType("accelerate.launchers")
    utils.patch_environment = patch_environment
    for each in (package, utils, module):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    package.notebook_launcher = module.notebook_launcher = notebook_launcher
    accelerate.start_nothing(module)
    monkeypatch.setenv("WORLD_SIZE", "2")
    return module


@pytest.mark.parametrize("given", [{}, {"num_processes": 2}, {"num_processes": 1, "num_nodes": 2}])
def test_a_launcher_for_notebooks_calls_its_function_here(launchers: Any, given: Any) -> None:
    seen: list[Any] = []

    def train(*args: int) -> None:
        seen.append((*args, os.environ.get("ACCELERATE_MIXED_PRECISION")))

    sys.modules["accelerate"].notebook_launcher(train, (7,), mixed_precision="BF16", **given)
    launchers.notebook_launcher(train, args=(8,), **given)

    assert seen == [(7, "bf16"), (8, None)]


@pytest.mark.parametrize("given", [{"num_processes": 4}, {"num_processes": 2, "num_nodes": 2}])
def test_a_launcher_of_more_processes_says_how_many_there_are(launchers: Any, given: Any) -> None:
    with pytest.raises(ValueError, match=r"to start 4 processes, .* 2 workers\. .*%%ddp -n 4\."):
        launchers.notebook_launcher(len, **given)


def test_alone_after_trainer_a_launcher_is_accelerates_own(
    launchers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORLD_SIZE")
    with pytest.raises(AssertionError, match="it would start processes"):
        launchers.notebook_launcher(len, num_processes=2)
