"""What is kept of samples: the most, the last minutes, and what a view finds in its picture."""

from __future__ import annotations

from typing import Any

from ddp_magic.events import Devices, RunEnded, RunState, Stalled
from ddp_magic.metrics import Peaks, Recent
from ddp_magic.metrics.peaks import RECENT
from ddp_magic.samples import GpuSample, WorkerSample
from ddp_magic.views.picture import Picture


def gpu(label: str = "cuda:0", used: int = 1, **changes: Any) -> GpuSample:
    return GpuSample(label=label, **{"used": used, "total": 80, "busy": 0.5, **changes})


def sample(*gpus: GpuSample, at: float = 0, **workers: tuple[float, int]) -> Devices:
    return Devices(
        time=at,
        gpus=gpus,
        workers=tuple(
            WorkerSample(rank=int(name[1:]), cpu=cpu, memory=memory)
            for name, (cpu, memory) in workers.items()
        ),
    )


def test_peaks_are_the_most_and_the_mean_of_what_was_told():
    peaks = Peaks()
    peaks.add(sample(gpu(used=5, busy=None), r0=(1.0, 7), r1=(0.0, 3)))
    peaks.add(sample(gpu(used=9, busy=1.0, kernel=4), gpu("cuda:1"), r0=(3.0, 5)))
    peaks.add(sample(gpu(used=2, busy=0.4)))
    first = peaks.gpus["cuda:0"]

    assert list(peaks.gpus) == ["cuda:0", "cuda:1"]
    assert (first.used, first.total, first.kernel) == (9, 80, 4)
    assert (first.busy.count, first.busy.value) == (2, 0.7)
    assert (peaks.workers[0].memory, peaks.workers[0].cpu, peaks.workers[0].busy.value) == (7, 3, 2)
    assert (peaks.workers[1].memory, peaks.workers[1].cpu, peaks.workers[1].busy.value) == (3, 0, 0)


def test_a_gpu_of_which_the_driver_does_not_tell_has_no_mean():
    peaks = Peaks()
    peaks.add(sample(gpu(busy=None)))

    assert peaks.gpus["cuda:0"].busy.value is None


def test_the_last_minutes_are_kept_with_their_gaps():
    recent = Recent()
    for at in range(RECENT + 30):
        gpus = () if at == 31 else (gpu(used=at),)
        recent.add(sample(*gpus, at=at, r0=(at, at)))

    assert len(recent.samples) == RECENT
    assert [one and one.used for one in recent.gpu("cuda:0")][:3] == [30, None, 32]
    assert [one and one.memory for one in recent.worker(0)][-1] == RECENT + 29
    assert set(recent.worker(1)) == {None}


def test_a_picture_has_the_newest_sample_and_samples_alone_change_nothing_else():
    picture = Picture()
    picture.handle(sample(gpu(used=5), at=1))
    picture.handle(sample(gpu(used=3), at=2))

    assert picture.devices is not None
    assert picture.devices.time == 2
    assert picture.peaks.gpus["cuda:0"].used == 5
    assert len(picture.recent.samples) == 2
    assert (picture.devices_version, picture.version, picture.output_version) == (2, 0, 0)


def test_a_picture_has_why_it_stalls_until_it_ends():
    picture = Picture()
    picture.handle(Stalled(time=1, why="No rank has printed."))
    assert (picture.stalled, picture.version) == ("No rank has printed.", 1)

    picture.handle(Stalled(time=3, why=""))
    assert picture.stalled == ""
    picture.handle(Stalled(time=4, why="No rank has printed."))
    picture.handle(RunEnded(time=5, state=RunState.STOPPED, duration=5, summary=""))
    assert picture.stalled == ""
