"""Whether a run seems to hang, judged from events whose times are made up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from ddp_magic.events import (
    Devices,
    Metrics,
    OutputChunk,
    RunState,
    StateChanged,
    WorkerExited,
    WorkerStarted,
)
from ddp_magic.samples import GpuSample, WorkerSample
from ddp_magic.stall import FIRST, QUIET, WINDOW, Doctor

CPU = ("CPU", "CPU")
GPUS = ("cuda:0 H200", "cuda:1 H200")


@dataclass(frozen=True)
class Does:
    """What a rank does, second by second: cores, then its GPU and that one's memory."""

    cpu: float
    busy: float | None = None
    moving: float | None = None


IDLE = Does(0.01)
WORKS = Does(0.9)
WAKES = Does(0.09)
GPU_IDLE = Does(0.02, 0.0, 0.0)
GPU_LOADS = Does(0.8, 0.0, 0.0)
GPU_TRAINS = Does(1.0, 0.99, 0.4)
GPU_SPINS = Does(1.0, 1.0, 0.0)
GPU_SPINS_AND_LOADS = Does(3.0, 1.0, 0.0)
GPU_UNTOLD = Does(1.0)


class Script:
    """A run whose clock is turned by hand."""

    def __init__(self, labels: tuple[str, ...] = CPU) -> None:
        self.labels = labels
        self.doctor = Doctor(labels)
        self.now = 1000.0
        self.said: list[tuple[float, str]] = []

    def begin(self, attempt: int = 0) -> None:
        for rank in range(len(self.labels)):
            self.see(WorkerStarted(time=self.now, rank=rank, attempt=attempt, pid=rank))
        self.see(StateChanged(time=self.now, state=RunState.RUNNING))

    def see(self, event: Any) -> None:
        self.doctor.see(event)

    def prints(self, rank: int = 0) -> None:
        self.see(OutputChunk(time=self.now, rank=rank, stream="stdout", data=b"."))

    def logs(self, rank: int, step: float | None, name: str = "loss", **more: Any) -> None:
        self.see(Metrics(time=self.now, rank=rank, step=step, values=((name, 0.5),), **more))

    def ends(self, rank: int) -> None:
        self.see(WorkerExited(time=self.now, rank=rank, attempt=0, exit_code=0))

    def go(self, seconds: float, *does: Does) -> None:
        """Let time pass, with a sample a second of what each rank does."""
        for _ in range(int(seconds)):
            self.now += 1
            if does:
                self.sample(*does)
            stalled = self.doctor.look(self.now)
            if stalled is not None:
                self.said.append((stalled.time - 1000, stalled.why))

    def sample(self, *does: Does) -> None:
        self.see(
            Devices(
                time=self.now,
                gpus=tuple(
                    GpuSample(label=label, used=1, total=2, busy=one.busy, moving=one.moving)
                    for label, one in zip(self.labels, does, strict=True)
                    if label != "CPU"
                ),
                workers=tuple(
                    WorkerSample(rank=rank, cpu=one.cpu, memory=1) for rank, one in enumerate(does)
                ),
            )
        )


def test_silence_of_idle_workers_is_said_once_a_while_and_that_it_goes_on():
    script = Script()
    script.begin()
    script.prints()
    script.go(125, IDLE, WAKES)
    script.prints(1)
    script.go(5, IDLE, WAKES)

    text = "No rank has printed or logged for {}, and the workers are idle."
    assert script.said == [
        (60, text.format("60 s")),
        (90, text.format("90 s")),
        (120, text.format("2 min")),
        (126, ""),
    ]


def test_before_the_first_word_there_is_more_patience():
    script = Script()
    script.begin()
    script.go(FIRST - 1, IDLE, IDLE)
    assert script.said == []

    script.go(1, IDLE, IDLE)
    assert script.said == [
        (180, "No rank has printed or logged for 3 min, and the workers are idle.")
    ]


@pytest.mark.parametrize("way", ["a line", "a number"])
def test_each_word_of_any_rank_begins_the_silence_anew(way):
    script = Script()
    script.begin()
    script.prints()
    script.go(QUIET - 1, IDLE, IDLE)
    script.prints(1) if way == "a line" else script.logs(1, None)
    script.go(QUIET - 1, IDLE, IDLE)

    assert script.said == []


WHERE_NO_ALARM_IS_GIVEN = {
    "both train on the CPU": (CPU, (WORKS, WORKS)),
    "one works, which the other waits for": (CPU, (WORKS, IDLE)),
    "both train on GPUs": (GPUS, (GPU_TRAINS, GPU_TRAINS)),
    "one loads or compiles while the other waits": (GPUS, (GPU_LOADS, GPU_SPINS)),
    "one trains while the other is idle": (GPUS, (GPU_TRAINS, GPU_IDLE)),
    "a full GPU with busy loaders": (GPUS, (GPU_SPINS_AND_LOADS, GPU_SPINS)),
    "a GPU that is busy now and then": (GPUS, (Does(0.02, 0.3, 0.0), GPU_IDLE)),
    "a GPU of which the driver does not tell": (GPUS, (GPU_UNTOLD, GPU_UNTOLD)),
}


@pytest.mark.parametrize("name", WHERE_NO_ALARM_IS_GIVEN)
def test_silence_of_workers_that_work_is_no_alarm(name: str):
    labels, does = WHERE_NO_ALARM_IS_GIVEN[name]
    script = Script(labels)
    script.begin()
    script.prints()
    script.go(600, *does)

    assert script.said == []


ALARMS = {
    "all idle on GPUs": (
        (GPU_IDLE, GPU_IDLE),
        ", and the workers are idle.",
    ),
    "all in a collective of NCCL that never ends": (
        (GPU_SPINS, GPU_SPINS),
        ", and the GPUs only wait: they are busy and move no data.",
    ),
    "one in a collective that the other never joins": (
        (GPU_SPINS, GPU_IDLE),
        "; rank 0 is waiting on the GPU for another, and rank 1 is idle.",
    ),
    "idle, on parts of a GPU of which little is told": (
        (IDLE, IDLE),
        ", and the workers are idle.",
    ),
}


@pytest.mark.parametrize("name", ALARMS)
def test_gpus_that_are_busy_prove_nothing_alone(name: str):
    does, said = ALARMS[name]
    script = Script(GPUS)
    script.begin()
    script.prints()
    script.go(QUIET, *does)

    assert script.said == [(60, f"No rank has printed or logged for 60 s{said}")]


def test_work_in_the_last_half_minute_holds_the_alarm_back():
    script = Script()
    script.begin()
    script.prints()
    script.go(QUIET, WORKS, IDLE)
    script.go(WINDOW - 5, IDLE, IDLE)
    assert script.said == []

    script.go(5, IDLE, IDLE)
    assert [at for at, _ in script.said] == [88]
    script.go(WINDOW, WORKS, WORKS)
    assert script.said[-1][1] == ""


def test_without_samples_nobody_is_said_to_be_idle():
    script = Script()
    script.begin()
    script.prints()
    script.go(600)
    assert script.said == []

    script.go(2, IDLE, IDLE)
    assert script.said == []


def test_ranks_that_have_ended_are_named_and_not_waited_for():
    script = Script()
    script.begin()
    script.prints()
    script.ends(1)
    script.go(QUIET, IDLE, IDLE)
    script.ends(0)
    script.go(2, IDLE, IDLE)

    assert script.said == [
        (
            60,
            "No rank has printed or logged for 60 s, and the workers are idle. Rank 1 has ended.",
        ),
        (61, ""),
    ]


def test_before_all_ranks_run_there_is_no_alarm_and_a_new_attempt_begins_anew():
    script = Script()
    script.go(600, IDLE, IDLE)
    script.begin()
    script.prints()
    script.go(QUIET, IDLE, IDLE)
    assert len(script.said) == 1

    script.begin(attempt=1)
    script.go(FIRST - 1, IDLE, IDLE)
    assert [why for _, why in script.said[1:]] == [""]


# -- steps ----------------------------------------------------------------------------------------


def test_a_rank_that_stands_still_while_another_goes_on_is_named():
    script = Script()
    script.begin()
    for step in range(1, 61):
        script.logs(0, 10 * step)
        if step <= 12:
            script.logs(1, 10 * step)
        script.go(1, WORKS, WORKS)
    script.logs(1, 600)
    script.go(1, WORKS, WORKS)

    assert [at for at, _ in script.said] == [41, 61]
    assert script.said[0][1] == "Rank 1 stands at step 120 while rank 0 is at 410."
    assert script.said[-1][1] == ""


def drifting(steps: dict[int, float], stands: set[int], seconds: int = 40) -> Script:
    """Let ranks come to steps, and then those stand that are to, while rank 0 goes on."""
    script = Script(("CPU",) * len(steps))
    script.begin()
    everybody = [WORKS] * len(steps)
    for part in range(1, 11):
        for rank, last in steps.items():
            script.logs(rank, last * part / 10)
        script.go(1, *everybody)
    for more in range(1, seconds + 1):
        for rank, last in steps.items():
            if rank not in stands:
                script.logs(rank, last * (1 + more / 10))
        script.go(1, *everybody)
    return script


def test_several_that_stand_are_named_together():
    same = drifting({0: 100, 1: 100, 2: 100, 3: 100}, {1, 2, 3})
    apart = drifting({0: 100, 1: 90, 2: 80}, {1, 2})

    assert same.said[0][1] == "Ranks 1, 2 and 3 stand at step 100 while rank 0 is at 390."
    assert apart.said[0][1] == "Ranks 1 and 2 stand no further than step 80 while rank 0 is at 390."


def test_ranks_of_different_speed_stand_nowhere():
    assert drifting({0: 1000, 1: 100}, set()).said == []


def test_all_that_stand_together_are_for_silence_to_tell():
    assert drifting({0: 100, 1: 100}, {0, 1}, seconds=50).said == []


def test_a_rank_that_has_ended_does_not_stand():
    script = drifting({0: 100, 1: 100}, {1}, seconds=10)
    script.ends(1)
    for step in range(200, 300):
        script.logs(0, step)
        script.go(1, WORKS, WORKS)

    assert script.said == []


QUIET_METRICS = {
    "one rank logs": [(0, "loss", True)],
    "they log different things": [(0, "loss", True), (1, "accuracy", True)],
    "it is only printed": [(0, "loss", False), (1, "loss", False)],
}


@pytest.mark.parametrize("name", QUIET_METRICS)
def test_where_steps_cannot_be_compared_nothing_is_said(name: str):
    script = Script()
    script.begin()
    for step in range(100):
        for rank, metric, logged in QUIET_METRICS[name]:
            if rank == 0 or step < 5:
                script.logs(rank, step, metric, logged=logged)
        script.go(1, WORKS, WORKS)

    assert script.said == []


def test_a_rank_that_logs_seldom_gets_ten_times_its_own_time():
    """As one that logs once an epoch, and another every step of it."""
    script = Script()
    script.begin()
    for second in range(300):
        if second % 20 == 0:
            script.logs(1, second)
        script.logs(0, second)
        script.go(1, WORKS, WORKS)
    for second in range(300, 520):
        script.logs(0, second)
        script.go(1, WORKS, WORKS)

    assert [at for at, _ in script.said][:1] == [480]


@pytest.mark.parametrize("step", [None, float("nan"), float("inf")])
def test_a_step_that_is_no_number_is_no_step(step):
    script = Script()
    script.begin()
    script.logs(1, step)
    for second in range(100):
        script.logs(0, second)
        script.go(1, WORKS, WORKS)

    assert script.said == []


def test_silence_and_drift_are_said_together():
    script = drifting({0: 100, 1: 100}, {1}, seconds=12)
    script.go(QUIET, IDLE, IDLE)

    assert script.said[-1][1] == (
        "No rank has printed or logged for 60 s, and the workers are idle. "
        "Rank 1 stands at step 100 while rank 0 is at 220."
    )


def test_names_without_end_fill_nothing():
    script = Script()
    script.begin()
    for number in range(1000):
        script.logs(0, number, f"name {number}")

    assert len(script.doctor._drift._marks) == 60
