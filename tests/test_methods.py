"""Which methods train, as the kernel sees them in a class and a rank in an object."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from torch import nn

from ddp_magic.methods import METHODS, trains
from ddp_magic.worker import training


class Plain:
    def train(self) -> str:
        return "trained"


class Fits(Plain):
    train: Any = None

    @classmethod
    def fit(cls) -> str:
        return "fitted"


class Static:
    train = 3

    @staticmethod
    def fit() -> str:
        return "fitted"


class Net(nn.Linear): ...


class Own(Net):
    def train(self, mode: Any = None) -> Any:
        return super().train(mode) if mode is not None else "trained"


class Trap:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Plain, ["train"]),
        (Fits, ["fit"]),
        (Static, ["fit"]),
        (Net, []),
        (Own, ["train"]),
        (nn.Module, []),
    ],
)
def test_a_class_and_its_object_train_by_the_same_method(kind: type, names: list[str]) -> None:
    instance = object.__new__(kind)

    assert [n for n in METHODS if trains(n, inspect.getattr_static(kind, n, None))] == names
    assert [n for n in METHODS if trains(n, getattr(instance, n, None))] == names
    assert not trains("__call__", vars(nn.Module)["__call__"])


def test_nothing_that_is_no_method_trains_and_none_of_its_code_runs() -> None:
    assert not any(trains("train", found) for found in (None, 3, float("nan"), "", [], Trap()))
    assert trains("train", len)


@pytest.mark.parametrize(
    ("kind", "got"), [(Plain, "trained"), (Fits, "fitted"), (Static, "fitted"), (Own, "trained")]
)
def test_what_a_factory_made_is_trained(kind: type, got: str) -> None:
    made = kind(1, 1) if kind is Own else kind()
    assert training.start(made) == got


@pytest.mark.parametrize("made", [None, 3, (), [], Net(1, 1), {"accuracy": float("nan")}])
def test_what_does_not_train_is_the_training_itself(made: object) -> None:
    assert training.start(made) is made
