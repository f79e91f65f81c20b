"""What rank 0 brings back: written and read in this process, without torch."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ddp_magic.errors import UserError
from ddp_magic.pickling import Receiver, Sender
from ddp_magic.results import load, save, writing
from ddp_magic.rundir import RunDir

if TYPE_CHECKING:
    from pathlib import Path

    from ddp_magic.results.load import Results


class Trip:
    """One run's results, from the worker's namespace to the notebook."""

    def __init__(self, run: RunDir) -> None:
        self.run = run

    def save(self, space: dict[str, Any], names: str, *value: object, bound: str = "") -> None:
        save.save(
            self.run,
            space,
            Sender(main=space),
            outputs=names.split(),
            bound=bound.split(),
            value=value,
        )

    def load(self, names: str, *, stores: str = "", finished: bool = True) -> Results:
        receiver = Receiver(main={"__name__": "__main__"})
        return load.load(
            self.run, receiver, names=names.split(), stores=stores.split(), finished=finished
        )

    def __call__(self, space: dict[str, Any], names: str, *value: object) -> Results:
        self.save(space, names, *value)
        return self.load(names)


@pytest.fixture
def trip(tmp_path: Path) -> Trip:
    return Trip(RunDir.create(tmp_path / "run-1"))


def made(qualified: str, base: type = object, **members: Any) -> type:
    """Return a class that has another module's name, as a library's has."""
    module, _, name = qualified.rpartition(".")
    return type(base)(name, (base,), {"__module__": module, "__qualname__": name, **members})


class Loud:
    """Cannot be read where it arrives."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise OSError("no such device")


class Leaving:
    def __reduce__(self) -> Any:
        sys.exit("from __reduce__")


class NoText(Exception):
    def __str__(self) -> str:
        raise ValueError


class Unspeakable:
    def __reduce__(self) -> Any:
        raise NoText


def test_what_is_one_object_stays_one(trip: Trip):
    shared = [1]
    results = trip({"a": shared, "b": {"it": shared}}, "a b")

    assert results.outputs["b"]["it"] is results.outputs["a"]
    assert results.missing == []


BAD = {
    "a generator": ((n for n in "ab"), "a generator expression cannot be sent"),
    "sys.exit() in its __reduce__": (Leaving(), "SystemExit: from __reduce__"),
    "an error without a text": (Unspeakable(), "NoText"),
    "what is read with an error": (Loud(), "OSError while it was read here: no such device"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_that_cannot_come_costs_no_other(trip: Trip, name: str):
    value, why = BAD[name]
    shared = ["shared"]
    results = trip({"a": shared, "bad": [shared, value], "c": [shared]}, "a bad c")

    assert set(results.outputs) == {"a", "c"}
    assert results.outputs["c"][0] is results.outputs["a"]
    (told,) = results.missing
    assert told.startswith(f"bad: {why}")
    assert "inside the %%ddp cell" not in told


def test_what_shares_objects_with_one_that_cannot_be_read_is_not_read_in_halves(trip: Trip):
    inner = ["inner"]
    bad = [inner, Loud(), ["later"]]
    space = {"a": ["a"], "bad": bad, "part": {"of": inner}, "whole": [bad], "z": ["z"]}
    results = trip(space, "a bad part whole z")

    assert results.outputs == {"a": ["a"], "z": ["z"]}
    assert results.missing[1] == "part: it shares objects with bad, which could not be read"
    assert results.missing[2].startswith("whole: it shares objects with bad")


def test_too_deep_a_nest_is_said_in_words(trip: Trip):
    deep: list[Any] = []
    for _ in range(10**5):
        deep = [deep]
    results = trip({"deep": deep, "x": 1}, "deep x")

    assert results.outputs == {"x": 1}
    assert results.missing == ["deep: it is nested too deeply to be pickled"]


MISSING = {
    "nothing was saved": (None, True, "rank 0 ended before it could save"),
    "not reached": ({}, False, "the cell had not set it yet"),
    "deleted again": ({}, True, "the cell ended without setting it"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_said_with_the_reason(trip: Trip, name: str):
    space, finished, why = MISSING[name]
    if space is not None:
        trip.save(space, "x")

    assert trip.load("x", stores="x", finished=finished).missing == [f"x: {why}"]


def test_a_name_that_the_cell_does_not_touch_is_said_to_be_unchanged(trip: Trip):
    trip.save({}, "old")

    assert trip.load("old", stores="x").missing == [
        "old: this cell neither binds nor uses it; the notebook's own is unchanged"
    ]


WRAPPERS = {
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "lightning.fabric.wrappers._FabricModule": "_forward_module",
    "lightning_fabric.wrappers._FabricModule": "_forward_module",
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_come_back_as_what_is_inside(trip: Trip, name: str):
    inside = {"weight": 1}
    wrapper = made(name)()
    setattr(wrapper, WRAPPERS[name], inside)
    results = trip({"model": wrapper, "inside": inside}, "model inside")

    assert results.outputs["model"] is results.outputs["inside"]
    kind = name.rpartition(".")[2].lstrip("_")
    assert results.notices == [f"What came back is the module inside {kind}."]


def test_a_subclass_of_a_wrapper_inside_another_comes_back_bare(trip: Trip):
    ddp = made("torch.nn.parallel.distributed.DistributedDataParallel")
    inner, outer = made("lib.Mine", ddp)(), made("torch._dynamo.eval_frame.OptimizedModule")()
    inner.module, outer._orig_mod = [1], inner  # type: ignore[attr-defined]

    assert trip({"m": outer}, "m").outputs == {"m": [1]}


@pytest.mark.parametrize(
    "name",
    [
        "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel",
        "torch.distributed.fsdp._fully_shard._fully_shard.FSDPModule",
        "torch.distributed.tensor.DTensor",
    ],
)
def test_what_is_sharded_is_refused_with_the_way_out(trip: Trip, name: str):
    sharded = made("lib.Sharded", made(name))()
    results = trip({"model": sharded, "x": 1}, "model x")

    assert results.outputs == {"x": 1}
    assert f"only its shard of a {name.rpartition('.')[2]}" in results.missing[0]
    assert "get_model_state_dict" in results.missing[0]


def test_a_value_that_needs_a_module_which_is_not_imported_here_becomes_its_text(
    trip: Trip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "heavy_lib.py").write_text(
        "class Box:\n    def __repr__(self): return 'a box of 3'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import heavy_lib  # type: ignore[import-not-found]

    trip.save({}, "", heavy_lib.Box())
    del sys.modules["heavy_lib"]
    results = trip.load("")

    assert repr(results.value()) == "a box of 3"
    assert "heavy_lib" not in sys.modules
    assert "name it in -o" in results.notices[0]


def test_a_value_that_is_large_becomes_its_text(trip: Trip, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(save, "_VALUE_LIMIT", 1 << 20)
    results = trip({}, "", b"x" * (1 << 20))

    assert repr(results.value()).startswith("b'xxx")
    assert len(repr(results.value())) == 10_000


def test_a_large_value_that_is_named_comes_whole(trip: Trip, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(save, "_VALUE_LIMIT", 1 << 20)
    data = b"x" * (2 << 20)
    results = trip({"data": data}, "data", data)

    assert results.outputs == {"data": data}


class Rude:
    def __repr__(self) -> str:
        raise ValueError("not today")

    def __reduce__(self) -> Any:
        raise TypeError


def test_a_value_whose_repr_raises_is_told_by_its_type(trip: Trip):
    text = repr(trip({}, "", Rude()).value())

    assert text == "<Rude, whose repr() raised ValueError('not today')>"


def test_a_cell_without_a_value_has_none_and_one_of_none_too(trip: Trip):
    assert trip({}, "").value() is None


def test_what_the_cell_bound_can_be_fetched_and_what_is_too_large_is_told(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(save, "_BOUND_LIMIT", 1 << 20)
    trip.save({"a": [1], "big": b"x" * (2 << 20)}, "", bound="a big")
    results = trip.load("")

    assert results.fetch("a") == [1]
    with pytest.raises(UserError, match=r"did not leave a variable big.*There is: a"):
        results.fetch("big")


def test_what_is_too_large_is_not_pickled_to_its_end(trip: Trip, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(save, "_BOUND_LIMIT", 1 << 20)
    reached: list[int] = []

    class Piece:
        def __init__(self, number: int) -> None:
            self.number = number

        def __reduce__(self) -> Any:
            reached.append(self.number)
            return bytes, (self.number.to_bytes(1, "big") * (1 << 18),)

    trip.save({"big": [Piece(number) for number in range(100)], "b": [2]}, "", bound="big b")

    assert len(reached) < 10
    assert trip.load("").fetch("b") == [2]


def test_named_results_are_there_even_if_the_rest_is_never_finished(trip: Trip):
    class Stuck:
        def __repr__(self) -> str:
            raise KeyboardInterrupt  # killed in the middle, as far as the files can tell

    with pytest.raises(KeyboardInterrupt):
        trip.save({"x": [7]}, "x", Stuck())

    assert trip.load("x").outputs == {"x": [7]}


def test_pickling_that_writes_nothing_for_long_still_shows_that_it_goes_on(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
):
    seen: list[bool] = []
    clock = iter(range(100))
    monkeypatch.setattr(writing.time, "monotonic", lambda: next(clock))
    mark = trip.run.results / "saving"

    class Slow:
        def __reduce__(self) -> Any:
            seen.append(mark.exists())
            mark.unlink()
            return int, ()

    trip.save({"x": [Slow(), Slow(), Slow()]}, "x")

    assert seen == [True, True, True]
    assert not mark.exists()


def test_the_index_is_written_whatever_the_program_puts_into_json(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.setattr(json, "dumps", None)
        trip.save({"x": 1}, "x")

    assert trip.load("x").outputs == {"x": 1}
