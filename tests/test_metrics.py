"""Numbers from a worker's `ddp_magic.log` to curves of a few hundred points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

import ddp_magic
from ddp_magic import reporting
from ddp_magic.events import Metrics
from ddp_magic.metrics import Curves, Reported, Series
from ddp_magic.metrics.curves import NAMES
from ddp_magic.metrics.series import LIMIT
from ddp_magic.rundir import RunDir
from ddp_magic.worker import metrics as writing
from ddp_magic.worker.metrics import Reporter

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.setattr(reporting, "_report", None)
    return RunDir.create(tmp_path / "run-1")


class Tensor:
    """A number that wants a gradient."""

    def detach(self):
        return 0.5

    def __float__(self):
        raise AssertionError("it was not detached")


def test_log_does_nothing_in_the_notebook(run):
    ddp_magic.log(loss="no number")


def test_what_a_worker_logs_is_what_the_kernel_reads(run):
    Reporter(run, 1).begin()
    ddp_magic.log(step=3, loss=0.25, lr=Tensor())
    ddp_magic.log({"val/loss": 1})
    reported = Reported(run, 1)
    first, second = reported.read()
    ddp_magic.log(loss=float("nan"))
    (third,) = reported.read()

    assert (first.rank, first.step, first.values) == (1, 3.0, (("loss", 0.25), ("lr", 0.5)))
    assert (second.step, second.values) == (None, (("val/loss", 1.0),))
    assert math.isnan(dict(third.values)["loss"])
    assert list(reported.read()) == []
    assert run.metrics(1).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("logged", "said"),
    [
        ({"loss": "0.5x"}, "loss is a str"),
        ({"loss": [1, 2]}, "loss is a list"),
        ({"step": "first", "loss": 1}, "step is a str"),
    ],
)
def test_what_is_no_number_is_refused_where_it_is_logged(run, logged, said):
    Reporter(run, 0).begin()
    with pytest.raises(TypeError, match=said):
        ddp_magic.log(**logged)

    assert not run.metrics(0).exists()


def test_a_file_stays_small_and_the_last_number_is_in_it(run, monkeypatch):
    monkeypatch.setattr(writing, "_FREE", 1000)
    monkeypatch.setattr(writing, "_PERIOD", 3600)
    reporter = Reporter(run, 0)
    reporter.begin()
    for number in range(10_000):
        ddp_magic.log(loss=number)
    reporter.flush()
    found = [dict(event.values)["loss"] for event in Reported(run, 0).read()]

    assert run.metrics(0).stat().st_size < 2000
    assert found[:3] == [0, 1, 2]
    assert found[-1] == 9999


def test_a_line_that_a_program_wrote_itself_is_passed_over(run):
    run.metrics(0).write_text('nonsense\n[1, 2]\n[1, null, {"a": "x"}]\n[1, null, {"a": 2}]\n[1, n')
    reported = Reported(run, 0)

    assert [event.values for event in reported.read()] == [(("a", 2.0),)]


def test_a_curve_of_a_million_values_has_a_few_hundred_points():
    series = Series()
    for number in range(1_000_000):
        series.add(number, 2.0 * number)

    assert LIMIT / 2 <= len(series.x) == len(series.y) <= LIMIT
    assert series.x == sorted(series.x)
    assert series.count == 1_000_000
    assert series.last == 1_999_998
    width = series.x[1] - series.x[0]
    assert series.y == pytest.approx([2 * x - width + 1 for x in series.x])


def test_values_that_are_no_numbers_are_counted_and_not_drawn():
    series = Series()
    for value in (1.0, float("nan"), float("inf"), 2.0, float("nan")):
        series.add(None, value)

    assert (series.x, series.y, series.strange) == ([0, 3], [1.0, 2.0], 3)
    assert math.isnan(series.last)


def test_a_name_belongs_to_one_rank_and_what_is_logged_replaces_what_was_read():
    curves = Curves()

    def add(value: float, *, rank: int = 0, logged: bool = True, name: str = "loss") -> None:
        curves.add(Metrics(time=0, rank=rank, step=None, values=((name, value),), logged=logged))

    add(1, logged=False)
    add(2, rank=1, logged=False)
    add(2, logged=False, name="train loss")
    assert {name: series.y for name, series in curves.series.items()} == {
        "loss": [1],
        "train loss": [2],
    }
    add(3)
    add(4, logged=False)
    add(4, logged=False, name="train loss")
    add(5, rank=1)
    assert {name: series.y for name, series in curves.series.items()} == {"loss": [3]}
    for number in range(2 * NAMES):
        add(1, name=f"name {number}")
    assert len(curves.series) == NAMES
    assert curves.dropped
