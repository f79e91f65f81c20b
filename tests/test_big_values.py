"""Memory that travels: what shares it goes on sharing it, and only the bytes that are needed go."""

from __future__ import annotations

import mmap
import pickle
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddp_magic import pickling
from ddp_magic.collect import sizes
from ddp_magic.errors import UserError
from ddp_magic.kerneldir import KernelDir
from ddp_magic.pickling import (
    BlobReader,
    Draft,
    Part,
    Receiver,
    Sender,
    extents,
    filemaps,
    loans,
    parts,
    tensors,
)
from ddp_magic.pickling.extents import View, packed_strides, plan, view
from ddp_magic.results import load, save
from ddp_magic.results.load import Results
from ddp_magic.rundir import RunDir
from tests.kernel_side import KernelSide, kernel

__all__ = ["kernel"]

MEGABYTE = 1 << 20


class Trip:
    """Sends values to another namespace of this process; `nbytes` is what it took in files."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.nbytes = 0
        self.number = 0

    def __call__(self, value: Any, *, devices: bool = False) -> Any:
        self.number += 1
        stem = f"trip{self.number}"
        path = self.run.results / f"{stem}.pkl"
        pickling.dump(value, path, self.run, Sender(main={}))
        self.nbytes = sum(p.stat().st_size for p in self.run.results.glob(f"{stem}-*.bin"))
        return pickling.load(path, Receiver(main={}, devices=devices))


@pytest.fixture
def trip(tmp_path: Path) -> Trip:
    return Trip(RunDir.create(tmp_path / "run-1"))


@pytest.fixture
def home():
    made = KernelDir.create()
    yield made
    made.remove()


# -- which bytes are needed -----------------------------------------------------------------------


def looks(base: int, *shape: int, steps: tuple[int, ...], item: int = 4) -> View:
    return view(base, item, shape, steps)


SAME = {
    "a transpose": ((0, (2, 3), (12, 4)), (0, (3, 2), (4, 12))),
    "another shape": ((0, (6,), (4,)), (0, (1, 2, 3), (99, 12, 4))),
    "the other way round": ((0, (6,), (4,)), (20, (6,), (-4,))),
    "repeated": ((0, (6,), (4,)), (0, (5, 6), (0, 4))),
    "a column": ((8, (100,), (400,)), (8, (10, 10), (4000, 400))),
}


@pytest.mark.parametrize("name", SAME)
def test_views_of_the_same_bytes_are_equal_whatever_their_shape(name: str):
    one, other = ((looks(base, *shape, steps=steps)) for base, shape, steps in SAME[name])

    assert one == other


def test_a_views_first_byte_and_last_and_what_it_needs():
    rows = looks(1000, 3, 2, steps=(-100, 4))

    assert (rows.low, rows.high, rows.needed) == (800, 1008, 24)


FAR = 100 * MEGABYTE
PLANS = {
    "one array": ([looks(0, 10, steps=(4,))], [40]),
    "a part of another": ([looks(0, 10, steps=(4,)), looks(8, 2, steps=(4,))], [40]),
    "overlapping": ([looks(0, 4, steps=(4,)), looks(8, 4, steps=(4,))], [24]),
    "side by side": ([looks(0, 4, steps=(4,)), looks(16, 4, steps=(4,))], [16, 16]),
    "far apart": ([looks(0, 4, steps=(4,)), looks(FAR, 4, steps=(4,))], [16, 16]),
    "in a chain": ([looks(at, 4, steps=(4,)) for at in (0, 8, 16)], [32]),
    "one column": ([looks(0, 1000, steps=(100_000,))], [4000]),
    "two columns": ([looks(at, 1000, steps=(100_000,)) for at in (0, 4)], [4000, 4000]),
    "every tenth row and the next": (
        [looks(at, 100, 25_000, steps=(10**6, 4)) for at in (0, 10**5)],
        [10**7, 10**7],
    ),
    "every row": ([looks(0, 1000, 25_000, steps=(100_000, 4))], [10**8]),
    "half of the columns": ([looks(0, 1000, 12_500, steps=(100_000, 4))], [99_950_000]),
    "a column and a row of it": (
        [looks(0, 1000, steps=(100_000,)), looks(0, 25_000, steps=(4,))],
        [99_900_004],
    ),
    "the same column twice, of other lengths": (
        [looks(0, 1000, steps=(100_000,)), looks(0, 500, steps=(100_000,))],
        [99_900_004],
    ),
    "a last column and the next first": (
        [looks(99_996, 1000, steps=(100_000,)), looks(0, 1000, steps=(100_000,))],
        [4000, 4000],
    ),
    "items that reach over the end of a row": (
        [looks(99_998, 1000, steps=(100_000,)), looks(0, 1000, steps=(100_000,))],
        [100_000_002],
    ),
    "a sliding window": ([looks(0, 1000, 8, steps=(100_000, 2))], [99_900_018]),
}


@pytest.mark.parametrize("name", PLANS)
def test_what_overlaps_travels_together_and_what_does_not_apart(name: str):
    views, expected = PLANS[name]
    found = plan(dict(enumerate(views)))

    assert [extent.nbytes for extent in found] == expected
    assert sorted(n for e in found for n in e.views) == list(range(len(views)))


def test_addresses_keep_their_remainder_so_that_elements_stay_aligned():
    (extent,) = plan({0: looks(1000, 4, steps=(4,)), 1: looks(1008, 1, steps=(8,), item=8)})

    assert (extent.pad, extent.views) == (1000 % 16, {0: 8, 1: 16})


def test_packed_strides_keep_order_direction_and_repetition():
    assert packed_strides((3, 5, 4), (4, 0, -400), 4) == [4, 0, -12]


# -- sharing --------------------------------------------------------------------------------------


def pair(base: Any, first: slice, second: slice) -> tuple[Any, Any]:
    return base[first], base[second]


def array_and_tensor() -> tuple[Any, Any]:
    array = np.zeros(10)
    return array[2:6], torch.from_numpy(array)[4:8]


def tensor_and_array() -> tuple[Any, Any]:
    tensor = torch.zeros(10)
    return tensor[2:6], tensor.numpy()[4:8]


def misaligned() -> tuple[Any, Any]:
    raw = np.zeros(64, np.uint8)
    return raw[1:], torch.from_numpy(raw[3:35].view(np.float32))


SHARED = {
    "a view before its base": lambda: ((t := torch.zeros(10))[3:5], t),
    "overlapping views of a tensor": lambda: pair(torch.zeros(10**6), slice(7), slice(3, 9)),
    "overlapping views of an array": lambda: pair(np.zeros(10**6), slice(7), slice(3, 9)),
    "reversed": lambda: pair(np.zeros(10), slice(7, 2, -1), slice(3, 9)),
    "mapped": lambda: pair(np.zeros(10**6), slice(400_000), slice(300_000, None)),
    "mapped tensors": lambda: pair(torch.zeros(10**6), slice(400_000), slice(300_000, None)),
    "an array and a tensor": array_and_tensor,
    "a tensor and an array": tensor_and_array,
    "a tensor that is not aligned": misaligned,
    "a tensor and its column": lambda: ((t := torch.zeros(5, 3)), t[:, 1]),
    "a column twice": lambda: ((a := np.zeros((10**4, 1000)))[:, 7], a[:, 7]),
    "a column as another shape": lambda: ((a := torch.zeros(10**4, 1000))[:, 7], a[:, 7:8]),
    "another type": lambda: ((t := torch.zeros(4)), t.view(torch.int32)),
    "complex numbers": lambda: ((t := torch.zeros(4, dtype=torch.cfloat)), torch.view_as_real(t)),
    "dates": lambda: ((a := np.zeros(9, "datetime64[s]"))[2:], a.view("i8")[1:4]),
    "fields of records": lambda: ((a := np.zeros(5, [("x", "i4"), ("y", "f8")])), a["y"]),
    "a tensor and its storage": lambda: ((t := torch.zeros(4)), torch.tensor([]).set_(t)),
    "masked": lambda: ((a := np.zeros(4)), np.ma.masked_array(a, a > 1, copy=False).data),
    "a matrix": lambda: ((a := np.zeros((2, 2))), a.view(np.matrix)),
}


@pytest.mark.parametrize("turned", [False, True], ids=["", "turned round"])
@pytest.mark.parametrize("name", SHARED)
def test_what_shares_memory_goes_on_sharing_it(trip: Trip, name: str, *, turned: bool):
    values = SHARED[name]()
    one, other = trip(values[::-1] if turned else values)
    before = other.tolist()
    (one.fill_ if isinstance(one, torch.Tensor) else one.fill)(1)

    assert other.tolist() != before
    assert trip.nbytes <= 8 * MEGABYTE


def test_views_far_apart_travel_without_what_is_between_them(trip: Trip):
    big = torch.zeros(25_000_000)
    first, last = trip([big[:10], big[-10:]])

    assert first.sum() == last.sum() == 0
    assert trip.nbytes < 1000


@pytest.mark.parametrize("kind", [np, torch], ids=["numpy", "torch"])
def test_a_column_of_a_large_table_travels_alone(trip: Trip, kind: Any):
    table = kind.zeros((20_000, 2000))
    table[:, 3] = kind.arange(20_000)
    table[:, 5] = 7
    three, five, turned = trip([table[:, 3], table[:, 5], table[::100, 9:11].T])

    assert np.array_equal(three, np.arange(20_000))
    assert set(five.tolist()) == {7}
    assert turned.shape == (2, 200)
    assert trip.nbytes < 400_000


def test_the_first_array_is_the_base_of_its_views_and_owns_its_memory(trip: Trip):
    base = np.zeros(5)
    made, looking = trip([base, base[1:3]])

    assert looking.base is made
    assert made.flags.owndata


def test_a_small_storage_is_one_that_can_grow(trip: Trip):
    made = trip(torch.zeros(3))

    assert made.resize_(100).numel() == 100


def test_tied_weights_and_an_optimizers_state_are_the_models(trip: Trip):
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    net[1].weight = net[0].weight
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state, made, stepping, part = trip([net.state_dict(), net, optimizer, net[0].weight.data[1]])
    part.zero_()

    assert made[0].weight is made[1].weight is stepping.param_groups[0]["params"][0]
    assert made[0].weight[1].sum() == state["1.weight"][1].sum() == 0
    assert torch.equal(
        stepping.state[made[0].bias]["exp_avg"], optimizer.state[net[0].bias]["exp_avg"]
    )
    assert torch.equal(made[0].bias.grad, net[0].bias.grad)


steps = st.sampled_from([1, 1, 2, 3, 7, -1, -2])
cuts = st.builds(slice, st.integers(0, 12), st.integers(8, 24), steps)
views = st.tuples(cuts, cuts | st.integers(0, 11), st.sampled_from("TR."), st.booleans())


def look_at(base: np.ndarray, how: tuple[Any, Any, str, bool]) -> Any:
    """Return a view of an array, in one of many shapes, as an array or a tensor."""
    rows, columns, turned, as_tensor = how
    rows = rows if rows.step > 0 else slice(rows.stop, rows.start, rows.step)
    if isinstance(columns, slice) and columns.step < 0:
        columns = slice(columns.stop, columns.start, columns.step)
    found = base[rows, columns]
    found = {"T": found.T, "R": found[..., None], ".": found}[turned]
    as_tensor &= all(stride >= 0 for stride in found.strides)
    return torch.from_numpy(found) if as_tensor else found


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(found=st.lists(views, min_size=1, max_size=4), start=st.integers(0, 3))
def test_whatever_views_there_are_a_change_through_one_is_seen_through_the_same_others(
    trip: Trip, found: list[Any], start: int
):
    base = np.arange(300, dtype=np.int32)[start : start + 288].reshape(24, 12)
    here = [look_at(base, how) for how in found]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extents, "_SLACK", 0)
        there = trip(here)

    for number, (one, other) in enumerate(zip(here, there, strict=True)):
        for each in (one, other):
            (each.fill_ if isinstance(each, torch.Tensor) else each.fill)(-number)
        assert [each.tolist() for each in there] == [each.tolist() for each in here]


# -- kinds of arrays and tensors ------------------------------------------------------------------


class Noted(np.ndarray):
    """As numpy's documentation tells to write one."""

    def __array_finalize__(self, obj: Any) -> None:
        self.note = getattr(obj, "note", "none")


def noted() -> Any:
    made = np.arange(6).reshape(2, 3)[:, ::2].view(Noted)
    made.note = "kept"
    return made


def fixed() -> Any:
    made = np.arange(5)
    made.flags.writeable = False
    return made


ARRAYS = {
    "read-only": fixed,
    "of a buffer": lambda: np.frombuffer(b"abcdef", np.uint8),
    "bool": lambda: np.array([True, False]),
    "complex": lambda: np.array([1 + 2j, 3], np.complex64)[::-1],
    "halves": lambda: np.arange(4, dtype=np.float16),
    "the other byte order": lambda: np.arange(4, dtype=">i4"),
    "without dimensions": lambda: np.array(3.5),
    "without elements": lambda: np.empty((3, 0), np.int8),
    "without bytes": lambda: np.array(["", ""]),
    "of objects": lambda: np.array([{"a": 1}, None], object),
    "records": lambda: np.rec.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    "records, unpadded": lambda: np.zeros(3, [("a", "i1"), ("b", "f8")])[::2],
    "a matrix": lambda: np.matrix([[1, 2], [3, 4]]),
    "of the user's own kind": noted,
    "turned": lambda: np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
    "repeated": lambda: np.broadcast_to(np.arange(3), (4, 3)),
    "windows": lambda: np.lib.stride_tricks.sliding_window_view(np.arange(9), 3),
    "long doubles": lambda: np.arange(3, dtype=np.longdouble),
    "text": lambda: np.array(["ä", "bc"]),
}


@pytest.mark.filterwarnings("ignore")  # numpy does not recommend matrices
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_arrive_as_they_are(trip: Trip, name: str):
    array = ARRAYS[name]()
    made = trip([array])[0]

    assert type(made) is type(array)
    assert np.array_equal(np.asarray(made), np.asarray(array))
    assert (made.dtype, made.shape) == (array.dtype, array.shape)
    assert made.strides == array.strides or not array.size
    assert made.flags.writeable == array.flags.writeable
    assert getattr(made, "note", None) == getattr(array, "note", None)


@pytest.mark.parametrize("mask", [[True, False], False, np.ma.nomask], ids=str)
def test_masked_arrays_keep_mask_and_filling(trip: Trip, mask: Any):
    array = np.ma.MaskedArray([1.0, 2.0], mask=mask, fill_value=7, hard_mask=True)
    made = trip(array)

    assert made.filled().tolist() == array.filled().tolist()
    assert (np.ma.getmask(made) is np.ma.nomask) == (np.ma.getmask(array) is np.ma.nomask)
    assert made.hardmask


class Subclass(torch.Tensor):
    pass


def with_attribute() -> torch.Tensor:
    made = torch.arange(3)[1:]
    made.note = "kept"  # type: ignore[attr-defined]
    return made


TENSORS = {
    "conjugated": lambda: torch.tensor([1 + 2j]).conj(),
    "conjugated columns": lambda: torch.conj(torch.full((2000, 2000), 1 + 2j)[:, 1]),
    "negated": lambda: torch._neg_view(torch.tensor([1.0])),
    "repeated": lambda: torch.tensor([1.0, 2.0]).expand(3, 2),
    "bfloat16": lambda: torch.ones(3, dtype=torch.bfloat16)[1:],
    "unsigned": lambda: torch.ones(3, dtype=torch.uint16),
    "eight bits": lambda: torch.ones(3).to(torch.float8_e4m3fn),
    "without dimensions": lambda: torch.tensor(3),
    "without elements": lambda: torch.zeros(10**6)[5:5].reshape(0, 4),
    "of a subclass": lambda: torch.arange(9).as_subclass(Subclass)[3:],
    "with an attribute": with_attribute,
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 1, torch.qint8),
    "by channel": lambda: torch.quantize_per_channel(
        torch.ones(2, 2), torch.tensor([0.1, 0.2]), torch.tensor([0, 0]), 0, torch.qint8
    ),
    "sparse": lambda: torch.eye(3).to_sparse().requires_grad_(),
    "sparse rows": lambda: torch.eye(3).to_sparse_csr(),
    "a parameter": lambda: torch.nn.Parameter(torch.zeros(10**6)[3:5]),
    "a buffer": lambda: torch.nn.Buffer(torch.ones(2)),
    "without data": lambda: torch.empty(3, device="meta"),
    "with a gradient": lambda: graded(torch.ones(2)),
    "a subclass with a gradient": lambda: graded(torch.ones(2).as_subclass(Subclass)),
}


def graded(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().requires_grad_()
    tensor.grad = torch.full_like(tensor, 5).detach()
    return tensor


@pytest.mark.filterwarnings("ignore")  # torch warns of what it holds for experimental
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_arrive_as_they_are(trip: Trip, name: str):
    tensor = TENSORS[name]()
    made = trip([tensor])[0]

    assert type(made) is type(tensor)
    assert repr(made) == repr(tensor)
    assert (made.requires_grad, made.is_conj(), made.is_neg()) == (
        tensor.requires_grad, tensor.is_conj(), tensor.is_neg(),
    )  # fmt: skip
    assert repr(made.grad) == repr(tensor.grad)
    assert vars(made).get("note") == vars(tensor).get("note")
    assert trip.nbytes < 100_000


@pytest.mark.filterwarnings("ignore")
def test_nested_tensors_arrive(trip: Trip):
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    jagged = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    made = trip([nested, jagged])

    assert [t.tolist() for t in made[0].unbind()] == [[1, 1], [1, 1, 1]]
    assert [t.tolist() for t in made[1].unbind()] == [[1, 1], [1, 1, 1]]


def test_a_dataset_of_two_tensors_keeps_them_one_with_the_notebooks(trip: Trip):
    x, y = torch.zeros(100, 4), torch.zeros(100)
    made, x_there = trip([torch.utils.data.TensorDataset(x[:90], y[:90]), x])
    x_there += 1

    assert made.tensors[0].sum() == 360


class Library:
    """Hands its memory out of band, as pyarrow's buffers do."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory

    def __reduce_ex__(self, protocol: int) -> Any:
        return Library, (pickle.PickleBuffer(self.memory),)


@pytest.mark.parametrize("fixed", [False, True], ids=["", "read-only"])
def test_a_librarys_own_buffers_are_written_without_a_copy(
    trip: Trip, *, fixed: bool, monkeypatch: pytest.MonkeyPatch
):
    size = MEGABYTE
    array = np.full(size, 7, np.uint8)
    memory = memoryview(array).toreadonly() if fixed else memoryview(array)
    drafts: list[Draft] = []
    monkeypatch.setattr(pickling, "Draft", lambda: drafts.append(Draft()) or drafts[-1])
    made, there, small = trip([Library(memory), array, Library(b"abc")])

    assert sum(draft.nbytes for draft in drafts) < 1000
    assert (bytes(made.memory[:3]), made.memory.nbytes) == (b"\7\7\7", size)
    assert memoryview(made.memory).readonly == fixed
    assert bytes(small.memory) == b"abc"
    there[0] = 8
    assert made.memory[0] == 8


# -- files that are mapped in the notebook --------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    np.arange(10_000, dtype=np.int32).tofile(path)
    return path


def test_a_map_and_what_looks_into_it_are_mapped_again_and_shared(trip: Trip, file: Path):
    data = np.memmap(file, np.int32, mode="r+", offset=40)
    rows = data[90:].reshape(-1, 10)
    made, view, plain = trip([data, rows[::2, 1:], np.asarray(data)[100:]])

    assert trip.nbytes == 0
    assert (type(view), type(plain)) == (np.memmap, np.ndarray)
    assert np.array_equal(view, rows[::2, 1:])
    assert view.strides == rows[::2, 1:].strides
    made[100:] = -1
    assert (plain == -1).all()
    assert view.filename == str(file)
    assert np.fromfile(file, np.int32)[200] == 200, "the file was written to"


def test_only_a_part_of_a_map_that_nobody_else_holds(trip: Trip, file: Path):
    part = np.memmap(file, np.int32, mode="r")[5000:5010]

    assert trip(part).tolist() == list(range(5000, 5010))
    assert trip.nbytes == 0


def test_what_was_written_into_a_private_map_travels(trip: Trip, file: Path):
    data = np.memmap(file, np.int32, mode="c")
    assert trip(data).sum() == data.sum()
    assert trip.nbytes == 0

    data[5] = 77
    assert trip(data)[5] == 77
    assert trip.nbytes == data.nbytes


@pytest.mark.parametrize("how", ["removed", "another"])
def test_a_map_whose_file_is_not_there_any_more_travels(trip: Trip, file: Path, how: str):
    data = np.memmap(file, np.int32, mode="r")
    file.unlink()
    if how == "another":
        np.zeros(10_000, np.int32).tofile(file)

    assert trip(data)[9999] == 9999


def test_a_map_in_columns_stays_one(trip: Trip, file: Path):
    data = np.memmap(file, np.int32, mode="r", shape=(100, 100), order="F")
    made = trip([data, data[3]])

    assert np.array_equal(made[0], data)
    assert np.array_equal(made[1], data[3])


def test_an_array_over_a_plain_map_is_no_numpy_map(trip: Trip, file: Path):
    with file.open("r+b") as opened:
        raw = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)

    assert trip(np.frombuffer(raw, np.int32))[7] == 7


def test_where_the_system_tells_nothing_of_maps_a_private_one_travels(
    trip: Trip, file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(filemaps, "_maps", lambda *_: iter(()))

    assert trip(np.memmap(file, np.int32, mode="r"))[7] == 7
    assert trip.nbytes == 0
    assert trip(np.memmap(file, np.int32, mode="c"))[7] == 7
    assert trip.nbytes == 40_000


# -- drafts and files -----------------------------------------------------------------------------


def test_nothing_is_written_before_all_is_known_and_nothing_of_a_draft_that_failed(
    kernel: KernelSide,
):
    kernel.cells(
        "import numpy as np\nkept = np.full(100_000, 1.0)\n"
        "class Bad:\n    def __reduce__(self): raise ValueError\n"
        "bad = [np.full(200_000, 2.0), Bad()]\ndef unused(): return bad\n"
        "def f(): return unused if False else kept"
    )
    collector, run = kernel.collector("f()[0]")
    collector.gather()
    assert list(run.blobs.iterdir()) == []

    collector.finish([])
    files = [p for p in run.blobs.iterdir() if p.suffix == ".bin"]
    assert [p.stat().st_size for p in files] == [800_000]
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in run.blobs.iterdir())


def test_large_memory_is_mapped_from_few_files_and_small_memory_copied_unless_there_is_much(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
):
    def files() -> list[int]:
        made = max(trip.run.results.glob("*-index.json"), key=lambda p: p.stat().st_mtime_ns)
        return [p.stat().st_size for p in trip.run.results.glob(f"{made.name[:-10]}*.bin")]

    maps: list[Path] = []
    plain = loans._map
    monkeypatch.setattr(loans, "_map", lambda path: maps.append(path) or plain(path))
    arrays = [np.full(n, n % 256, np.uint8) for n in (300_000, 400_000, *range(1, 50))]
    assert [a[0] for a in trip(arrays)] == [n % 256 for n in (300_000, 400_000, *range(1, 50))]
    assert len(files()) == 2
    assert len(maps) == 1

    monkeypatch.setattr(pickling.blobs, "_HUGE", 350_000)
    trip([np.zeros(200_000, np.uint8) for _ in range(3)] + [np.zeros(400_000, np.uint8)])
    assert len(files()) == 2
    assert len(maps) == 3


def test_readers_change_no_file_and_let_go_of_what_nobody_uses(trip: Trip):
    path = trip.run.results / "x.pkl"
    pickling.dump([np.zeros(MEGABYTE), torch.zeros(9)], path, trip.run, Sender(main={}))
    first, _ = pickling.load(path, Receiver(main={}))
    first += 1
    reader = BlobReader(trip.run.results, "x")
    with path.open("rb") as file:
        second, _ = pickling.Unpickler(file, Receiver(main={}, blobs=reader)).load()

    assert (first.sum(), second.sum()) == (MEGABYTE, 0)
    assert reader.arrays
    assert reader.storages
    reader.forget()
    assert not reader.arrays
    assert not reader.storages


# -- devices --------------------------------------------------------------------------------------


def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tensors on the CPU pass for tensors of a GPU."""
    monkeypatch.setattr(tensors, "device_of", lambda obj: "cuda:1")


def test_memory_of_a_gpu_goes_piece_by_piece_and_shared(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
):
    on_gpu(monkeypatch)
    monkeypatch.setattr(parts, "PIECE", 100)
    base = torch.arange(1000.0)
    table = torch.zeros(2000, 2000)
    table[:, 7] = 3
    whole, some, empty, column = trip([base, base[100:], torch.zeros(0), table[:, 7]])
    some += 1

    assert whole.sum() == base.sum() + 900
    assert (empty.numel(), column.sum()) == (0, 6000)
    assert trip.nbytes < 14_000


class Cuda:
    def __init__(self, *, there: bool) -> None:
        self.is_available = lambda: there
        self.current_device = lambda: 3


@pytest.mark.parametrize(
    ("device", "there", "devices", "expected"),
    [
        ("cuda:1", True, True, "cuda:3"),
        ("cuda:1", False, True, "cpu"),
        ("cuda:1", True, False, "cpu"),
        ("cpu", True, True, "cpu"),
        ("mps:0", True, True, "cpu"),
    ],
)
def test_memory_of_a_gpu_goes_to_the_ranks_own_if_it_has_one(
    monkeypatch: pytest.MonkeyPatch, *, device: str, there: bool, devices: bool, expected: str
):
    monkeypatch.setattr(torch, "cuda", Cuda(there=there))

    assert tensors.home(device, devices=devices) == expected


def test_memory_of_a_gpu_is_moved_once_for_all_that_look_at_it(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
):
    on_gpu(monkeypatch)
    moved: list[str] = []
    move = tensors._moved
    monkeypatch.setattr(
        tensors, "_moved", lambda made, where, it: moved.append(where) or move(made, "cpu", it)
    )
    base = torch.zeros(10)
    value = [base, base[2:], torch.ones(3)]
    trip(value)
    assert moved == []

    with monkeypatch.context() as there:
        there.setattr(tensors, "home", lambda device, *, devices: "cuda:3" if devices else "cpu")
        one, other, _ = trip(value, devices=True)
    other += 1
    assert moved == ["cuda:3", "cuda:3"]
    assert one.sum() == 8


def part(device: str) -> Part:
    space = "" if device == "cpu" else f"{device}/5"
    return Part(view(0, 1, [4], [1], space), None, None if device == "cpu" else object())


def test_that_memory_of_a_gpu_travels_is_said_in_one_line():
    found = [
        sizes.Size(name="a", value=0, nbytes=4, parts=[part("cuda:0"), part("cpu")]),
        sizes.Size(name="b", value=0, nbytes=8, parts=[part("cuda:1"), part("cuda:0")]),
    ]
    (said,) = sizes.told(found, 12, 0.1)

    assert said.startswith("3 tensors of cuda:0, cuda:1 travel through the CPU: each rank has its")
    assert sizes.told(found[:1], 4, 0.1)[0].startswith("1 tensor of cuda:0 travels")


# -- results --------------------------------------------------------------------------------------


def brought(run: RunDir, space: dict[str, Any], bound: list[str]) -> Results:
    save.save(run, space, Sender(main=space), outputs=["first"], bound=bound, value=())
    receiver = Receiver(main={})
    return load.load(run, receiver, names=["first"], stores=bound, finished=True)


def test_results_share_memory_and_what_they_share_counts_once(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(save, "_BOUND_LIMIT", MEGABYTE)
    array = np.zeros((700, 1000), np.uint8)
    space = {"first": [array[:2], array[1:3]], "a": array, "b": array.T, "c": np.zeros(MEGABYTE)}
    results = brought(trip.run, space, ["a", "b", "c"])
    one, other = results.outputs["first"]
    one += 1

    assert other.sum() == 1000
    assert results.fetch("b").shape == (1000, 700)
    with pytest.raises(UserError, match="too large"):
        results.fetch("c")


def test_results_of_a_gpu_come_back_on_the_cpu_and_that_is_said(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
):
    on_gpu(monkeypatch)
    results = brought(trip.run, {"first": torch.nn.Linear(2, 2)}, [])

    assert results.notices == ["Tensors of a GPU came back on the CPU."]
    assert results.outputs["first"].weight.device.type == "cpu"
