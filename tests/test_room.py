"""Where memory that travels is written, how much fits there, and what is said of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddp_magic import keeping, memory, pickling
from ddp_magic.collect import sizes
from ddp_magic.errors import CollectError, PlaceError
from ddp_magic.kerneldir import KernelDir, sweep
from ddp_magic.options import Options
from ddp_magic.pickling import BlobWriter, Draft, NoRoom, Pickler, Sender, room
from ddp_magic.rundir import RunDir
from tests.kernel_side import KernelSide, kernel
from tests.notebook import Notebook

__all__ = ["kernel"]

MEGABYTE = 1 << 20


@pytest.fixture
def home():
    made = KernelDir.create()
    yield made
    made.remove()


# -- room -----------------------------------------------------------------------------------------


@pytest.fixture
def shm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place that stands for /dev/shm."""
    place = tmp_path / "shm"
    place.mkdir(mode=0o777)
    monkeypatch.setattr(room, "SHM", place)
    monkeypatch.delenv("DDP_MAGIC_BLOBS", raising=False)
    return place


def write(run: RunDir, value: Any = None) -> int:
    """Write one value as collection does."""
    writer = BlobWriter(run, run.blobs)
    pickler = Pickler(Draft(), Sender(main={}, blobs=writer))
    pickler.dump(np.ones(MEGABYTE, np.uint8) if value is None else value)
    writer.keep(pickler.parts)
    return writer.close(movable=True)


PLACES = {
    "much, and room for it twice": (10**6, 2_200_000, True),
    "much, and room for it once": (10**6, 1_500_000, False),
    "little": (1 << 30, 1 << 40, False),
}


@pytest.mark.parametrize("name", PLACES)
def test_much_goes_to_memory_where_half_of_that_stays_free(
    home: KernelDir, shm: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    much, free, moved = PLACES[name]
    run = home.new_run(1)
    monkeypatch.setattr(room, "_MUCH", much)
    monkeypatch.setattr(room, "free", lambda place, *_: free if place == shm else 1 << 40)
    assert write(run) == MEGABYTE

    assert run.blobs.is_symlink() == bool(list(shm.iterdir())) == moved
    assert [p.name for p in run.blobs.iterdir() if p.suffix == ".bin"] == ["0.bin"]


def test_what_lies_elsewhere_is_private_and_goes_with_the_run(
    home: KernelDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "fast"
    place.mkdir()
    monkeypatch.setenv("DDP_MAGIC_BLOBS", str(place))
    runs = [home.new_run(n) for n in range(4)]
    for run in runs:
        write(run)
    modes = {stat.S_IMODE(p.stat().st_mode) for p in place.iterdir()}
    assert modes == {0o700}
    assert len(list(place.iterdir())) == 4

    runs[0].clean()
    runs[1].remove()
    left = {f"{home.path.name}-run-2", f"{home.path.name}-run-3"}
    assert {p.name for p in place.iterdir()} == left
    home.remove()
    assert not list(place.iterdir())


def test_a_sweep_removes_what_a_dead_kernel_has_elsewhere(
    home: KernelDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DDP_MAGIC_BLOBS", str(tmp_path))
    run = home.new_run(1)
    write(run)
    monkeypatch.delenv("DDP_MAGIC_BLOBS")
    owner = home.path / "owner.json"
    owner.write_text(owner.read_text().replace(str(os.getpid()), str(2**22 + 1)))

    assert sweep() == [home.path]
    assert not list(tmp_path.glob("ddp_magic-*"))


@pytest.mark.parametrize("planted", ["a directory", "an open directory", "a link"])
def test_what_others_put_there_is_neither_used_nor_removed(
    home: KernelDir, shm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
):
    monkeypatch.setattr(room, "_MUCH", 1)
    run = home.new_run(1)
    target = shm / f"{home.path.name}-run-1"
    if planted == "a link":
        (tmp_path / "precious").mkdir(mode=0o700)
        target.symlink_to(tmp_path / "precious")
    else:
        target.mkdir(mode=0o777 if "open" in planted else 0o700)
    write(run)
    run.remove()

    assert not (home.path / "run-1").exists()
    assert target.exists()
    assert not list(target.iterdir())


def test_memory_that_fills_up_meanwhile_is_left_for_the_runs_own_directory(
    home: KernelDir, shm: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(room, "_MUCH", 1)
    run = home.new_run(1)
    plain = os.write

    def full(fd: int, data: Any) -> int:
        if "shm" in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(28, "No space left on device")
        return plain(fd, data)

    monkeypatch.setattr(os, "write", full)
    write(run)

    assert not list(shm.iterdir())
    assert not run.blobs.is_symlink()
    assert (run.blobs / "0.bin").stat().st_size == MEGABYTE


def test_an_interrupt_while_writing_leaves_nothing(
    home: KernelDir, shm: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(fd: int, data: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    for much in (1, 1 << 40):
        monkeypatch.setattr(room, "_MUCH", much)
        run = home.new_run(much)
        with pytest.raises(KeyboardInterrupt):
            write(run)
        assert not list(shm.iterdir())
        assert not list(run.blobs.iterdir())


def test_a_place_that_the_user_names_must_be_one(home: KernelDir, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DDP_MAGIC_BLOBS", "/nowhere")

    with pytest.raises(PlaceError, match="DDP_MAGIC_BLOBS is /nowhere, which is no directory"):
        write(home.new_run(1))


def test_what_would_fill_the_disk_is_refused_with_what_is_large_and_where(
    kernel: KernelSide, monkeypatch: pytest.MonkeyPatch
):
    kernel.cells(
        "import numpy as np, torch, types\nX = np.zeros(2_000_000)\n"
        "trainer = types.SimpleNamespace(net=torch.nn.Linear(1000, 1000), lr=0.1, n=[1])"
    )
    collector, run = kernel.collector("X, trainer")
    collector.gather()
    monkeypatch.setattr(room, "free", lambda *_: 10_000_000)
    with pytest.raises(CollectError) as refused:
        collector.finish([])

    first, second = str(refused.value).split(". ")
    assert first.startswith("The cell uses 20 MB of the notebook's data, and ")
    assert first.endswith("has room for 10 MB: `X` is 16 MB, `trainer.net.weight` is 4.0 MB")
    assert "np.memmap" in second
    assert "DDP_MAGIC_BLOBS" in second
    assert not list(run.blobs.iterdir())
    assert not run.values.exists()


def test_a_look_at_what_would_run_writes_no_value_and_refuses_what_a_run_refuses(
    kernel: KernelSide, monkeypatch: pytest.MonkeyPatch
):
    kernel.cells("import numpy as np\nX = np.zeros(2_000_000)")
    collector, run = kernel.collector("X")
    collector.gather()
    (item,) = [i for i in collector.finish([], dry=True).items if i.name == "X"]
    assert item.nbytes > 16_000_000
    assert not list(run.blobs.iterdir())
    assert not run.values.exists()

    monkeypatch.setattr(room, "free", lambda *_: 10_000_000)
    collector, _ = kernel.collector("X")
    collector.gather()
    with pytest.raises(CollectError, match="`X` is 16 MB"):
        collector.finish([], dry=True)


def test_a_kept_copy_holds_what_lies_elsewhere(
    home: KernelDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "fast").mkdir()
    monkeypatch.setenv("DDP_MAGIC_BLOBS", str(tmp_path / "fast"))
    run = home.new_run(1)
    write(run)
    keeping.keep(Options(keep=str(tmp_path / "kept")), run)
    run.remove()

    assert not (tmp_path / "kept" / "blobs").is_symlink()
    assert (tmp_path / "kept" / "blobs" / "0.bin").stat().st_size == MEGABYTE


def test_results_that_would_fill_the_disk_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = RunDir.create(tmp_path / "run-1")
    monkeypatch.setattr(room, "free", lambda *_: 1000)

    with pytest.raises(NoRoom, match=r"It takes 8\.0 MB, and .* has room for 1\.0 kB"):
        pickling.dump(np.zeros(1_000_000), run.results / "x.pkl", run, Sender(main={}))
    assert not list(run.results.iterdir())


def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """Have the system tell something else of its memory."""
    for name, text in files.items():
        path = tmp_path / "sys" / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def place(first: str, *rest: str) -> Path:
        return tmp_path / "sys" / "/".join([first, *rest]).lstrip("/")

    monkeypatch.setattr(memory, "Path", place)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "sys/sys/fs/cgroup")


GROUP = "/sys/fs/cgroup"
LIMITS = {
    "no limit": ({"/proc/self/cgroup": "0::/"}, 8000 << 10),
    "of the group": (
        {
            "/proc/self/cgroup": "0::/a/b",
            f"{GROUP}/a/b/memory.max": "5000",
            f"{GROUP}/a/b/memory.current": "3000",
            f"{GROUP}/a/b/memory.stat": "anon 1\ninactive_file 500\n",
        },
        2500,
    ),
    "of the group above": (
        {
            "/proc/self/cgroup": "0::/a/b",
            f"{GROUP}/a/b/memory.max": "max",
            f"{GROUP}/a/memory.max": "5000",
            f"{GROUP}/a/memory.current": "4000",
            f"{GROUP}/a/memory.stat": "",
        },
        1000,
    ),
    "of the container": (
        {
            "/proc/self/cgroup": "0::/../host/path",
            f"{GROUP}/memory.max": "5000",
            f"{GROUP}/memory.current": "1000",
            f"{GROUP}/memory.stat": "",
        },
        4000,
    ),
    "of the first version": (
        {
            "/proc/self/cgroup": "5:devices:/\n4:cpu,memory:/job\n0::/",
            f"{GROUP}/memory/job/memory.limit_in_bytes": "6000",
            f"{GROUP}/memory/job/memory.usage_in_bytes": "1000",
            f"{GROUP}/memory/job/memory.stat": "total_inactive_file 1\n",
        },
        5001,
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_memory_is_the_machines_and_the_cgroups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    files, expected = LIMITS[name]
    proc(tmp_path, monkeypatch, {"/proc/meminfo": "MemTotal: 9\nMemAvailable: 8000 kB\n", **files})

    assert memory.memory() == expected


def test_a_file_system_in_memory_has_no_more_room_than_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(room, "memory", lambda: 1000)
    disk = os.statvfs(tmp_path)

    assert room.free(Path("/dev/shm")) == 900
    if not room._is_memory(tmp_path):
        assert room.free(tmp_path) > min(disk.f_bavail * disk.f_frsize, 1 << 30) // 2


# -- what is said ---------------------------------------------------------------------------------


def size(name: str, nbytes: int, **more: Any) -> sizes.Size:
    return sizes.Size(name=name, value=None, nbytes=nbytes, parts=(), **more)


GIGA = 10**9
TOLD = {
    "little": ([size("x", 10**6)], 10**6, 0.1, []),
    "large": ([size("X", 9_800_000_000)], 9_800_000_000, 11.0, ["sent 9.8 GB of `X` in 11 s"]),
    "slow": ([size("X", 10**7)], 10**7, 2.54, ["sent 10 MB of `X` in 2.5 s"]),
    "several": (
        [size("a", 1000), size("b", GIGA), size("c", 2 * GIGA)],
        3 * GIGA,
        1.0,
        ["sent 3.0 GB (2.0 GB of `c`, 1.0 GB of `b`) in 1.0 s"],
    ),
    "much of much": (
        [size(f"x{n}", GIGA) for n in range(20)],
        20 * GIGA,
        100.0,
        ["sent 20 GB in 100 s"],
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_was_large_or_took_long_is_said(name: str):
    found, nbytes, seconds, notes = TOLD[name]

    assert sizes.told(found, nbytes, seconds) == notes


# -- with workers ---------------------------------------------------------------------------------

SHARE = """
%%ddp --nproc 2 -o shares,sums,back
import os, re, torch.distributed as dist
me = int(os.environ["RANK"])
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=me, world_size=2)
def share(address):
    text = open("/proc/self/smaps").read()
    for part in re.split(r"\\n(?=[0-9a-f]+-)", text):
        low, high = (int(n, 16) for n in part.split(" ")[0].split("-"))
        if low <= address < high:
            return int(re.search(r"Pss: +(\\d+)", part)[1]) << 10
total = float(X.sum())
dist.barrier()
pss = torch.tensor([share(X.data_ptr())])
if dist.get_rank() == 0: head.fill_(5)
dist.barrier()
shares = [torch.zeros_like(pss) for _ in range(2)]
dist.all_gather(shares, pss)
shares = [int(one) for one in shares]
sums = [total, float(X.sum()), float(array[:2].sum())]
back = X[1_000_000:1_000_003]
"""


@pytest.mark.workers
def test_workers_share_one_copy_of_a_large_tensor_and_change_their_own(
    notebook: Notebook, light: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "fast"
    place.mkdir()
    monkeypatch.setenv("DDP_MAGIC_BLOBS", str(place))
    monkeypatch.setattr(sizes, "_LARGE", 80_000_000)
    notebook.cells(
        f"meeting = {str(tmp_path / 'meeting')!r}",
        "import torch\nX = torch.ones(20_000_000)\nhead, array = X[:10], X.numpy()",
    )
    shown = notebook.run(SHARE)
    assert shown.error is None, shown.out

    assert "sent 80 MB of `X` in" in shown.err
    assert sum(notebook.ns["shares"]) < 1.1 * 80_000_000
    assert notebook.ns["sums"] == [20_000_000, 20_000_040, 10]
    assert notebook.ns["back"].tolist() == [1, 1, 1]
    assert notebook.ns["back"].untyped_storage().nbytes() < 100
    assert notebook.ns["X"].sum() == 20_000_000
    assert not list(place.iterdir())
