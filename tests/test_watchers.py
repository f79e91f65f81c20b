"""Events of a run pass through its watchers, which add their own."""

from __future__ import annotations

import os

import pytest

from ddp_magic import watchers
from ddp_magic.devices import Placement
from ddp_magic.events import (
    Devices,
    Notice,
    OutputChunk,
    RunState,
    Stalled,
    StateChanged,
    WorkerStarted,
)
from ddp_magic.samples import WorkerSample
from ddp_magic.watchers import Watchers
from tests.notebook import until

PLACEMENT = Placement(world_size=1, env={"CUDA_VISIBLE_DEVICES": ""}, labels=("CPU",))
BEGUN = (
    WorkerStarted(time=1000, rank=0, attempt=0, pid=os.getpid()),
    StateChanged(time=1000, state=RunState.RUNNING),
    OutputChunk(time=1000, rank=0, stream="stdout", data=b"."),
)


def test_what_happens_is_passed_on_and_samples_are_added():
    watching = Watchers(PLACEMENT)
    notice = Notice(time=1, text="Hello.")
    assert list(watching.watch([notice, BEGUN[0]])) == [notice, BEGUN[0]]

    found: list[object] = []
    until(lambda: found.extend(watching.watch([])) or found)
    watching.close()

    assert isinstance(found[0], Devices)
    assert [worker.rank for worker in found[0].workers] == [0]
    assert found[0].gpus == ()


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(watchers.time, "time", lambda: now[0])
    return now


def silent(watching: Watchers, clock: list[float], seconds: int) -> list[object]:
    """Let time pass with a sample of an idle worker a second."""
    found: list[object] = []
    for _ in range(seconds):
        clock[0] += 1
        idle = (WorkerSample(rank=0, cpu=0.0, memory=1),)
        watching._sampler._sample = Devices(time=clock[0], gpus=(), workers=idle)
        found += watching.watch([])
    return [event for event in found if isinstance(event, Stalled)]


def test_a_run_that_seems_to_hang_is_said_to(clock, monkeypatch):
    watching = Watchers(PLACEMENT)
    watching._sampler.see = lambda event: None
    list(watching.watch(BEGUN))

    assert [event.time - 1000 for event in silent(watching, clock, 70)] == [60]


def test_a_mistake_of_the_doctor_ends_no_run(clock):
    watching = Watchers(PLACEMENT)
    watching._sampler.see = lambda event: None
    watching._doctor.look = lambda now: 1 / 0
    watching._doctor.see = lambda event: 1 / 0

    assert list(watching.watch(BEGUN)) == list(BEGUN)
    assert silent(watching, clock, 70) == []
