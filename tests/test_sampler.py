"""What a run takes of GPUs and machine: real processes, and a driver that is made up."""

# ruff: noqa: N802, N815, ARG002  (the names and arguments of the fake library are pynvml's)

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pynvml
import pytest

from ddp_magic.devices import Placement
from ddp_magic.events import Devices, WorkerExited, WorkerStarted
from ddp_magic.nvml import Meter
from ddp_magic.sampler import Sampler, meter
from ddp_magic.samples import GpuSample
from ddp_magic.usage import Usage
from tests.notebook import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 2**20


@pytest.fixture
def child() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start programs that say a line when they are where they should be."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        return process

    yield start
    for process in started:
        if process.poll() is None:
            for below in psutil.Process(process.pid).children(recursive=True):
                below.kill()
            process.kill()
        process.communicate()


BURNS = """
held = bytearray(b"x") * (100 << 20)
print("there", flush=True)
while True: pass
"""
SLEEPS = """
import time
print("there", flush=True)
time.sleep(600)
"""
FORKS = """
import os, time
held = bytearray(b"x") * (100 << 20)
for _ in range(3):
    if os.fork() == 0: time.sleep(600)
print("there", flush=True)
time.sleep(600)
"""
CHILD_BURNS = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURNS!r}])
"""


def used_cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def test_a_process_that_burns_a_core_and_holds_memory_is_seen_to(child):
    pid = child(BURNS).pid
    usage = Usage(pid, 0.1)
    before, at = used_cpu(pid), time.monotonic()
    first = usage.read(at)
    until(lambda: used_cpu(pid) - before > 0.3)
    now = time.monotonic()
    second = usage.read(now)
    known = (used_cpu(pid) - before) / (now - at)

    assert first is not None
    assert first[0] == 0.0
    assert second is not None
    assert second[0] == pytest.approx(known, rel=0.2, abs=0.05)
    assert 100 * MIB < second[1] < 130 * MIB


def test_what_a_worker_has_started_counts_as_its_own(child):
    pid = child(CHILD_BURNS).pid
    usage = Usage(pid, 0.1)
    usage.read(time.monotonic())
    (below,) = psutil.Process(pid).children()
    before = used_cpu(below.pid)
    until(lambda: used_cpu(below.pid) - before > 0.3)
    read = usage.read(time.monotonic())

    assert read is not None
    assert read[0] > 0.1
    assert 100 * MIB < read[1] < 150 * MIB


def test_memory_that_a_fork_shares_counts_once(child):
    """As the dataset that a DataLoader's workers have from their parent."""
    pid = child(FORKS).pid
    read = Usage(pid, 0.1).read(time.monotonic())

    assert len(psutil.Process(pid).children()) == 3
    assert read is not None
    assert 100 * MIB < read[1] < 180 * MIB


def test_between_exact_answers_memory_follows_what_is_cheap_to_know(child):
    """And children whose memory is not known yet do not count what they share with their parent."""
    process = child(SLEEPS)
    usage = Usage(process.pid, 1e-9)
    first = usage.read(100.0)
    usage._exact[process.pid] = (500 * MIB, usage._exact[process.pid][1] - 7 * MIB)
    second = usage.read(101.0)
    other = child(BURNS)
    usage._processes[other.pid] = psutil.Process(other.pid)
    third = usage.read(102.0)

    assert first is not None
    assert second is not None
    assert second[1] == pytest.approx(507 * MIB, abs=MIB)
    assert third is not None
    assert third[1] == pytest.approx(507 * MIB, abs=MIB)


def test_a_worker_that_is_gone_has_no_usage(child):
    process = child(SLEEPS)
    usage = Usage(process.pid, 0.1)
    process.kill()
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert usage.read(time.monotonic()) is None

    process.wait()
    assert usage.read(time.monotonic()) is None
    with pytest.raises(psutil.NoSuchProcess):
        Usage(process.pid, 0.1)


class FakeDriver:
    """Two GPUs and a MIG instance, named as pynvml's functions are."""

    NVMLError = pynvml.NVMLError
    nvmlMemory_v2 = 2

    def __init__(self, *, init: int = 0) -> None:
        self.init = init
        self.opened = self.closed = 0
        self.broken: set[str] = set()
        self.used = 10
        self.hangs: threading.Event | None = None

    def nvmlInit(self) -> None:
        if self.init:
            raise pynvml.NVMLError(self.init)
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.closed += 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid == "GPU-gone":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: str, version: int = 0) -> Any:
        if self.hangs is not None:
            self.hangs.wait()
        if handle in self.broken:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return SimpleNamespace(total=100, reserved=4, free=96 - self.used)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        if handle.startswith("MIG"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=75, memory=20)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:
        if handle.startswith("MIG"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        return [
            SimpleNamespace(pid=42, usedGpuMemory=8),
            SimpleNamespace(pid=1000, usedGpuMemory=3 if handle == "GPU-0" else None),
        ]


def metering(driver: FakeDriver, *uuids: str) -> Meter:
    return Meter({uuid: f"label of {uuid}" for uuid in uuids}, kernel_pid=1000, library=driver)


def test_a_gpu_is_read_in_our_terms_and_the_driver_opened_once():
    driver = FakeDriver()
    reading = metering(driver, "GPU-0", "GPU-1", "MIG-7", "GPU-gone")
    first, _, mig = reading.read()
    driver.used = 50
    again = reading.read()
    reading.close()

    assert first == GpuSample(
        label="label of GPU-0", used=10, total=96, busy=0.75, kernel=3, moving=0.2
    )
    assert (mig.label, mig.used, mig.busy, mig.moving, mig.kernel) == (
        "label of MIG-7", 10, None, None, 0,
    )  # fmt: skip
    assert [gpu.used for gpu in again] == [50, 50, 50]
    assert (driver.opened, driver.closed) == (1, 1)
    assert reading.read() == ()


def test_a_gpu_that_falls_off_the_bus_is_left_out_and_the_others_stay():
    driver = FakeDriver()
    reading = metering(driver, "GPU-0", "GPU-1")
    reading.read()
    driver.broken.add("GPU-0")

    assert [gpu.label for gpu in reading.read()] == ["label of GPU-1"]
    driver.broken.clear()
    assert [gpu.label for gpu in reading.read()] == ["label of GPU-1"]


def test_without_a_driver_there_is_nothing_to_read():
    driver = FakeDriver(init=pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    reading = metering(driver, "GPU-0")

    assert reading.read() == ()
    assert reading.read() == ()
    reading.close()


@pytest.mark.parametrize(
    ("visible", "labels", "known"),
    [
        ("", ("CPU", "CPU"), {}),
        (
            "GPU-b,GPU-a",
            ("cuda:1 NVIDIA H200", "cuda:0 NVIDIA H200"),
            {"GPU-b": "cuda:1 NVIDIA H200", "GPU-a": "cuda:0 NVIDIA H200"},
        ),
    ],
    ids=["on the CPU", "on two GPUs"],
)
def test_the_gpus_of_a_run_are_read_and_no_others(visible, labels, known):
    placement = Placement(world_size=2, env={"CUDA_VISIBLE_DEVICES": visible}, labels=labels)

    assert meter(placement)._labels == known


def started(rank: int, pid: int, attempt: int = 0) -> WorkerStarted:
    return WorkerStarted(time=0, rank=rank, attempt=attempt, pid=pid)


def taken(sampler: Sampler, like: Callable[[Devices], bool]) -> Devices:
    found: list[Devices] = []

    def look() -> bool:
        sample = sampler.take()
        if sample is not None and like(sample):
            found.append(sample)
        return bool(found)

    until(look)
    return found[0]


def test_samples_begin_with_the_first_worker_and_follow_who_comes_and_goes(child):
    driver = FakeDriver()
    sampler = Sampler(metering(driver, "GPU-0"), 2, every=0.05)
    assert sampler.take() is None
    assert driver.opened == 0

    one, other = child(SLEEPS), child(SLEEPS)
    sampler.see(started(0, one.pid))
    sampler.see(started(1, os.getpid()))
    both = taken(sampler, lambda sample: len(sample.workers) == 2)
    sampler.see(started(1, other.pid, attempt=1))
    sampler.see(WorkerExited(time=0, rank=0, attempt=0, exit_code=0))
    alone = taken(sampler, lambda sample: len(sample.workers) == 1)
    sampler.close()

    assert [gpu.label for gpu in both.gpus] == ["label of GPU-0"]
    assert [worker.rank for worker in both.workers] == [0, 1]
    assert both.workers[0].memory > MIB
    assert both.time == pytest.approx(time.time(), abs=60)
    assert [worker.rank for worker in alone.workers] == [1]
    assert driver.closed == 1
    assert [t for t in threading.enumerate() if t.name == "ddp_magic sampler"] == []


def test_a_worker_that_is_gone_unannounced_is_left_out(child):
    process = child(SLEEPS)
    process.kill()
    process.wait()
    sampler = Sampler(metering(FakeDriver()), 1, every=0.05)
    sampler.see(started(0, process.pid))

    assert taken(sampler, lambda _: True).workers == ()
    sampler.close()


def test_a_driver_that_hangs_keeps_nobody_else_waiting(monkeypatch):
    monkeypatch.setattr("ddp_magic.sampler._ENDING", 0.01)
    driver = FakeDriver()
    driver.hangs = threading.Event()
    sampler = Sampler(metering(driver, "GPU-0"), 1, every=0.01)
    sampler.see(started(0, os.getpid()))
    until(lambda: driver.opened)
    sampler.close()

    assert sampler.take() is None
    driver.hangs.set()
    sampler._thread.join()


def test_what_goes_wrong_ends_the_samples_and_nothing_else():
    driver = FakeDriver()
    driver.nvmlDeviceGetMemoryInfo = lambda *_, **__: 1 / 0
    sampler = Sampler(metering(driver, "GPU-0"), 1, every=0.01)
    sampler.see(started(0, os.getpid()))
    sampler._thread.join()

    assert sampler.take() is None
    assert driver.closed == 1
    sampler.close()


def test_samples_that_cost_much_come_seldom(monkeypatch):
    """A tenth of a second of work in each would be a quarter of a percent every 40 seconds."""
    clock = iter(range(1000))
    monkeypatch.setattr("ddp_magic.sampler.time.thread_time", lambda: next(clock) / 10)
    sampler = Sampler(metering(FakeDriver()), 1)
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 3

    sampler._over.wait = wait
    sampler.see(started(0, os.getpid()))
    sampler._thread.join()

    assert waits == [0.5, pytest.approx(40), pytest.approx(40)]
