"""What a Lightning program logs, as the panel gets it; a fake connector calls as Lightning's."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ddp_magic import reporting
from ddp_magic.worker.frameworks import lightning_metrics

Reported = list[tuple[float | None, dict[str, Any]]]


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Reported:
    found: Reported = []
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(reporting, "_report", lambda step, values: found.append((step, values)))
    return found


def connector(every: int = 1000) -> Any:
    """Return a connector that hands every so many steps to its loggers."""

    class _LoggerConnector:
        def __init__(self) -> None:
            self.trainer = SimpleNamespace(training=True, global_step=0)
            self.metrics: dict[str, dict[str, float]] = {"pbar": {}, "log": {}}
            self.at_the_loggers: list[dict[str, float]] = []
            self.steps: list[int | None] = []

        @property
        def should_update_logs(self) -> bool:
            return self.trainer.global_step % every == 0

        def on_batch_end(self) -> None:
            pass

        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            self.at_the_loggers.append(metrics)
            self.steps.append(step)

    found: Any = ModuleType("fake")
    found._LoggerConnector = _LoggerConnector
    lightning_metrics.report(found)
    return _LoggerConnector()


def step(made: Any, **logged: float) -> None:
    """Take a step of the training, as Lightning's loop does."""
    made.trainer.global_step += 1
    made.metrics = {"pbar": {}, "log": logged}
    made.on_batch_end()
    if made.should_update_logs:
        made.log_metrics(logged)


def test_steps_that_no_logger_gets_are_reported_and_no_step_twice(reported: Reported):
    made = connector(every=2)
    step(made, loss=3.0)
    step(made, loss=2.0)
    made.log_metrics({"val_loss": 2.5})

    assert reported == [(1, {"loss": 3.0}), (2, {"loss": 2.0}), (2, {"val_loss": 2.5})]
    assert made.at_the_loggers == [{"loss": 2.0}, {"val_loss": 2.5}]


def test_a_number_that_only_the_bar_shows_is_reported_too(reported: Reported):
    made = connector()
    made.trainer.global_step, made.metrics = 1, {"pbar": {"seen": 1.0}, "log": {"loss": 2.0}}
    made.on_batch_end()

    assert reported == [(1, {"seen": 1.0, "loss": 2.0})]


def test_steps_that_come_too_fast_wait_for_the_end_of_their_epoch(reported: Reported, monkeypatch):
    clock = iter([0.0, 0.0, 0.1, 0.2, 0.7])
    monkeypatch.setattr(lightning_metrics, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(lightning_metrics, "_FREE", 2)
    made = connector()
    for loss in (5.0, 4.0, 3.0, 2.0):
        step(made, loss=loss)
    made.log_metrics({"val_loss": 1.5})
    step(made, loss=1.0)

    assert [at for at, _ in reported] == [1, 2, 4, 4, 5]
    assert reported[2:4] == [(4, {"loss": 2.0}), (4, {"val_loss": 1.5})]


def test_the_last_step_is_reported_where_an_epoch_ends_without_a_number(
    reported: Reported, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lightning_metrics, "time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr(lightning_metrics, "_FREE", 1)
    made = connector()
    for loss in (3.0, 2.0, 1.0):
        step(made, loss=loss)
    made.log_metrics({})

    assert reported == [(1, {"loss": 3.0}), (3, {"loss": 1.0})]


def test_batches_of_a_validation_are_not_steps_of_the_training(reported: Reported):
    made = connector()
    made.trainer.training = False
    made.metrics = {"pbar": {}, "log": {"val_loss_step": 1.0}}
    made.on_batch_end()
    made.log_metrics({"val_loss_step": 1.0}, step=7)
    made.log_metrics({})

    assert reported == []


def test_other_ranks_report_nothing(reported: Reported, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "1")
    step(connector(every=1), loss=1.0)

    assert reported == []


def test_what_is_no_number_or_elsewhere_in_another_release_does_not_end_the_training(reported):
    made = connector()
    del made.metrics
    made.on_batch_end()
    monkeyed: Any = lambda step, values: float(values["table"])  # noqa: E731 - as log() raises
    reporting.report_to(monkeyed)
    made.log_metrics({"table": "text"})
    with pytest.warns(RuntimeWarning, match="nothing has changed"):
        lightning_metrics.report(ModuleType("nothing"))

    assert made.at_the_loggers == [{"table": "text"}]
