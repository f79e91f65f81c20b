"""What one pickler promises both ways: shared namespaces, cells, classes and buffers."""

from __future__ import annotations

import io
import os
import sys
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ddp_magic import pickling
from ddp_magic.errors import PlaceError
from ddp_magic.pickling import (
    BlobReader,
    BlobWriter,
    CannotTravel,
    Draft,
    Pickler,
    Receiver,
    Sender,
    Unpickler,
    cloud,
)
from ddp_magic.pickling.blobs import LARGE
from ddp_magic.rundir import RunDir
from tests.kernel_side import KernelSide, kernel

__all__ = ["kernel"]


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run-1")


class Copy:
    """Sends values from one namespace to another within this process."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.space: dict[str, Any] = {"__name__": "__main__"}
        self.far: dict[str, Any] = {"__name__": "__main__"}

    def __call__(self, value: Any, **options: Any) -> Any:
        path = self.run.results / f"{len(list(self.run.results.iterdir()))}.pkl"
        pickling.dump(value, path, self.run, Sender(main=self.space, **options))
        return pickling.load(path, Receiver(main=self.far))

    def define(self, text: str) -> None:
        exec(compile(text, "<ipython-input-1>", "exec"), self.space)


@pytest.fixture
def copy(run: RunDir) -> Copy:
    return Copy(run)


def test_functions_keep_the_one_namespace_of_the_receiver(copy: Copy):
    copy.define("n = 0\ndef inc():\n    global n\n    n += 1\n    return n\ndef get(): return n")
    inc, get = copy((copy.space["inc"], copy.space["get"]))
    copy.far["n"] = 10

    assert inc.__globals__ is copy.far
    assert (inc(), get()) == (11, 11)


def test_the_namespace_itself_is_the_receivers(copy: Copy):
    assert copy([copy.space])[0] is copy.far


def test_functions_of_another_namespace_share_a_copy_of_it(copy: Copy):
    space = {"__name__": "elsewhere", "n": 1}
    exec("def inc():\n    global n\n    n += 1\ndef get(): return n", space)
    inc, get = copy((space["inc"], space["get"]))
    inc()

    assert get() == 2
    assert space["n"] == 1


def test_closures_go_on_sharing_their_variables(copy: Copy):
    copy.define(
        "def make():\n    n = 0\n    def inc():\n        nonlocal n\n        n += 1\n"
        "    def get(): return n\n    def rec(k): return k and rec(k - 1)\n    return inc, get, rec"
    )
    inc, get, rec = copy(copy.space["make"]())
    inc()

    assert (get(), rec(3)) == (1, 0)


def test_code_says_the_receivers_name_of_its_file_in_nested_code_too(copy: Copy):
    copy.define("def f():\n    return lambda: 1")
    made = copy(copy.space["f"], filename={"<ipython-input-1>": "Cell In[1]"}.__getitem__)

    assert (made.__code__.co_filename, made().__code__.co_filename) == ("Cell In[1]",) * 2


def test_what_the_receiver_has_is_only_named(run: RunDir):
    space: dict[str, Any] = {"__name__": "__main__"}
    exec("class K: pass\ndef f(): pass", space)
    own = {"K": type("K", (), {}), "f": len}
    names = {id(space["K"]): "K", id(space["f"]): "f"}
    sender = Sender(main=space, definition=lambda obj: names.get(id(obj)))
    path = run.results / "x.pkl"
    pickling.dump([space["K"](), space["f"]], path, run, sender)
    made, func = pickling.load(path, Receiver(main={}, definitions=own))

    assert type(made) is own["K"]
    assert func is len


META = """
class Meta(type):
    def __new__(m, *a):
        LOG.append(a[0])
        return super().__new__(m, *a)
class X(metaclass=Meta): pass
"""
HOOK = """
class Base:
    def __init_subclass__(cls): LOG.append(cls.__name__)
class X(Base): pass
"""


@pytest.mark.parametrize("text", [META, HOOK], ids=["metaclass", "__init_subclass__"])
def test_what_ran_when_a_class_was_made_does_not_run_again(kernel: KernelSide, text: str):
    kernel.cells("LOG = []\n" + text)

    assert kernel.rank("X.__name__, LOG, type(X).__name__").value == (
        "X", ["X"], type(kernel.space["X"]).__name__,
    )  # fmt: skip


def test_a_class_of_this_process_comes_back_as_itself_and_unchanged(copy: Copy):
    copy.define("class Counter:\n    made = 0")
    cls = copy.space["Counter"]
    path = copy.run.results / "x.pkl"
    pickling.dump(cls(), path, copy.run, Sender(main=copy.space))
    cls.made = 5
    back = pickling.load(path, Receiver(main=copy.space))

    assert type(back) is cls
    assert cls.made == 5


def test_what_a_library_calls_deprecated_is_read_without_its_warning(copy: Copy):
    """Torch's is in every Trainer of Lightning that comes back; making one warns."""
    from torch.utils import _pytree

    leaf, *_ = _pytree.tree_structure([0]).children()
    back = copy({"leaf": leaf})["leaf"]

    assert (type(back), back, back.num_leaves) == (type(leaf), leaf, 1)
    with pytest.warns(FutureWarning):
        type(leaf)()


def test_classes_keep_their_qualified_name_slots_and_enum_attributes(kernel: KernelSide):
    kernel.cells(
        "import enum, pickle\nclass Outer:\n    @staticmethod\n    def mark(): return 0\n"
        "    class Inner:\n        __slots__ = ('a', '__p')\n"
        "class Planet(enum.Enum):\n    def __new__(cls, value, mass):\n"
        "        o = object.__new__(cls); o._value_ = value; o.mass = mass; return o\n"
        "    EARTH = 1, 6.0",
    )
    body = (
        "i = Outer.Inner()\ni.a = 1\n"
        "[type(pickle.loads(pickle.dumps(i))) is Outer.Inner, hasattr(i, '__dict__'), "
        "Planet.EARTH.mass, Planet(1) is Planet.EARTH]"
    )

    assert kernel.rank(body).value == [True, False, 6.0, True]


def test_instances_come_back_as_instances_of_the_notebooks_own_class(kernel: KernelSide):
    kernel.cells(
        "import dataclasses\nclass Net:\n    def f(self): return 1",
        "@dataclasses.dataclass\nclass Args:\n    lr: float = 0.1",
    )
    done = kernel.rank("n = Net(); n.w = 2\n(n, Args(0.5), Net, Args, Net.f)")
    net, args, *rest = done.value

    assert type(net) is kernel.space["Net"]
    assert net.w == 2
    assert args == kernel.space["Args"](0.5)
    assert rest == [kernel.space["Net"], kernel.space["Args"], kernel.space["Net"].f]


def test_instances_come_back_as_the_class_that_went_even_if_it_was_redefined(kernel: KernelSide):
    kernel.cells(
        "import dataclasses\nclass Net:\n    def f(self): return 'old'\n"
        "@dataclasses.dataclass\nclass Args:\n    lr: float = 0.1\n"
        "net, args = Net(), Args()"
    )
    old = kernel.space["Net"], kernel.space["Args"]

    done = kernel.rank(
        "net, args, Net(), Args()",
        meanwhile=lambda: kernel.cells("class Net: pass\nclass Args: pass"),
    )

    assert tuple(type(each) for each in done.value) == old * 2
    assert kernel.space["Net"] is not old[0]


def test_an_instance_older_than_its_class_stays_so_on_both_sides(kernel: KernelSide):
    kernel.cells(
        "class K:\n    def f(self): return 'old'\nk = K()",
        "class K:\n    def f(self): return 'new'",
    )
    done = kernel.rank("print(k.f(), K().f(), isinstance(k, K))\nk, K()")

    assert done.out == "old new False\n"
    assert [type(each) for each in done.value] == [type(kernel.space["k"]), kernel.space["K"]]


def test_functions_made_by_the_body_live_in_the_notebook_afterwards(kernel: KernelSide):
    kernel.cells("def scale(x): return x * factor\nfactor = 2")
    done = kernel.rank("def twice(x):\n    return scale(scale(x))\ntwice, lambda: factor")
    twice, get = done.value
    kernel.space["factor"] = 3

    assert (twice(1), get()) == (9, 3)
    assert twice.__globals__ is kernel.space
    assert kernel.space["__builtins__"] is sys.modules["builtins"]


def test_a_class_made_by_the_body_is_one_class_in_the_notebook(kernel: KernelSide):
    done = kernel.rank("class Made:\n    def __init__(self): self.x = 1\n[Made(), Made()]")

    assert type(done.value[0]) is type(done.value[1])
    assert done.value[0].x == 1


# -- the standard library -------------------------------------------------------------------------


def test_objects_that_cloudpickle_cannot_write_go_along(kernel: KernelSide):
    kernel.cells(
        """
import contextvars, functools, typing, types, logging, sys
@functools.lru_cache(maxsize=7)
def cached(x): return x + 1
@functools.singledispatch
def show(x): return 'object'
@show.register
def _(x: int): return 'int'
class C:
    @functools.cached_property
    def p(self): return [1]
current = contextvars.ContextVar('current', default='default')
Uid = typing.NewType('Uid', int)
made = types.ModuleType('made_by_hand'); made.V = 5
made.f = lambda: made.V
log = logging.getLogger('test.pickling'); log.setLevel(logging.INFO)
"""
    )
    body = (
        "c = C()\n(cached(1), cached.cache_parameters()['maxsize'], show(1), show(''), "
        "c.p is c.p, current.get(), Uid(3), Uid.__name__, made.f(), log.level)"
    )

    assert kernel.rank(body).value == (
        2, 7, "int", "object", True, "default", 3, "Uid", 5, 20,
    )  # fmt: skip


def test_a_mapping_whose_attributes_are_its_items_stays_one(kernel: KernelSide):
    kernel.cells(
        "class Config(dict):\n    def __init__(self, **items):\n        super().__init__(**items)\n"
        "        self.__dict__ = self\nconfig = Config(lr=1, inner=Config(n=2))"
    )

    done = kernel.rank("config['lr'] = 3\nconfig.inner.n = 4\nconfig.lr, config['inner']['n']")

    assert done.value == (3, 4), done.err


def test_a_scheduler_knows_in_the_worker_that_its_optimizer_is_watched(kernel: KernelSide):
    kernel.cells(
        "import torch\nfrom torch.optim.lr_scheduler import StepLR\n"
        "net = torch.nn.Linear(1, 1)\nopt = torch.optim.AdamW(net.parameters(), lr=1.0)\n"
        "sched = StepLR(opt, 1, 0.5)"
    )

    done = kernel.rank(
        "import warnings\nwarnings.simplefilter('error')\n"
        "net(torch.ones(1, 1)).backward()\nopt.step()\nsched.step()\n"
        "opt.param_groups[0]['lr'], opt.param_groups[0]['params'][0] is net.weight"
    )

    assert done.value == (0.5, True), done.err


def test_a_module_made_by_hand_can_be_imported_in_the_worker(kernel: KernelSide):
    kernel.cells(
        "import sys, types\nfake = types.ModuleType('fake_lib'); fake.V = 5\n"
        "sys.modules['fake_lib'] = fake"
    )

    assert kernel.rank("import fake_lib\nfake_lib.V").value == 5
    del sys.modules["fake_lib"]


REFUSED = {
    "generator": lambda: (i for i in ()),
    "held lock": lambda: _held(threading.Lock()),
    "held rlock": lambda: _held(threading.RLock()),
    "thread": threading.Thread,
    "frame": sys._getframe,
    "graph": lambda: torch.ones(1, requires_grad=True) * 2,
    "loader": lambda: iter(torch.utils.data.DataLoader([1])),
}


def _held(lock: Any) -> Any:
    lock.acquire()
    return lock


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_process_can_be_sent_is_refused(copy: Copy, name: str):
    culprit = REFUSED[name]()

    with pytest.raises(CannotTravel) as refused:
        copy({"a": [culprit]})

    assert refused.value.remedy


def test_streams_of_the_process_are_the_receivers(copy: Copy):
    assert copy([sys.stdout, sys.stderr]) == [sys.stdout, sys.stderr]
    assert copy(io.StringIO("kept")).getvalue() == "kept"


# -- arrays ---------------------------------------------------------------------------------------


ARRAYS = {
    "small": np.arange(6.0).reshape(2, 3),
    "large": np.arange(LARGE, dtype=np.float64),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "scalar": np.array(3.5),
    "empty": np.empty((0, 4)),
    "strings": np.array(["a", "bcd"]),
    "structured": np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]),
    "dates": np.array(["2026-01-02"], dtype="datetime64[D]"),
    "objects": np.array([{"a": 1}, None], dtype=object),
    "strided": np.arange(10)[::2],
    "transposed": np.arange(6).reshape(2, 3).T,
    "reversed": np.arange(5)[::-1],
    "zero strides": np.broadcast_to(np.array([1, 2]), (3, 2)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_arrive_as_they_are(copy: Copy, name: str):
    array = ARRAYS[name]
    made = copy(array)

    assert np.array_equal(made, array)
    assert (made.dtype, made.shape) == (array.dtype, array.shape)
    assert made.flags.f_contiguous == array.flags.f_contiguous


def test_arrays_can_be_written_unless_they_could_not(copy: Copy):
    fixed = np.arange(3)
    fixed.flags.writeable = False
    small, large, made = copy([np.zeros(3), np.zeros(LARGE), fixed])
    small += 1
    large += 1

    assert (small.sum(), large.sum()) == (3, LARGE)
    assert not made.flags.writeable


def test_views_of_an_array_stay_views(copy: Copy):
    base = np.zeros(4)
    view = base[1:3]
    made, looking = copy([base, view])
    looking += 1

    assert made.tolist() == [0, 1, 1, 0]
    assert looking.base is made


def test_a_large_buffer_is_written_once_and_not_changed_by_its_readers(copy: Copy):
    array = np.zeros(LARGE)
    path = copy.run.results / "a.pkl"
    pickling.dump({"a": array, "b": [array]}, path, copy.run, Sender(main={}))
    first = pickling.load(path, Receiver(main={}))
    first["a"] += 1
    second = pickling.load(path, Receiver(main={}))

    assert first["b"][0] is first["a"]
    assert second["a"].sum() == 0
    assert [p.stat().st_size for p in path.parent.glob("*.bin")] == [array.nbytes]
    assert path.stat().st_size < 1000


# -- tensors --------------------------------------------------------------------------------------


TENSORS = {
    "float": torch.rand(3),
    "large": torch.rand(LARGE),
    "bfloat16": torch.ones(2, dtype=torch.bfloat16),
    "bool": torch.tensor([True, False]),
    "complex": torch.tensor([1 + 2j]),
    "scalar": torch.tensor(3),
    "empty": torch.empty(0, 4),
    "transposed": torch.arange(6).reshape(2, 3).t(),
    "expanded": torch.tensor([1, 2]).expand(3, 2),
    "sparse": torch.eye(2).to_sparse(),
    "parameter": torch.nn.Parameter(torch.ones(2), requires_grad=False),
    "needs gradient": torch.ones(2, requires_grad=True),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_arrive_as_they_are(copy: Copy, name: str):
    tensor = TENSORS[name]
    made = copy(tensor)

    assert type(made) is type(tensor)
    assert torch.equal(made.to_dense(), tensor.to_dense())
    assert (made.dtype, made.requires_grad) == (tensor.dtype, tensor.requires_grad)
    if tensor.layout is torch.strided:
        assert made.stride() == tensor.stride()


@pytest.mark.parametrize("length", [4, LARGE // 2], ids=["small", "large"])
def test_tensors_that_share_memory_go_on_sharing_it(copy: Copy, length: int):
    base = torch.zeros(length)
    made, view, again = copy([base, base[1:3], base])
    view += 1

    assert made.sum() == 2
    assert again is made


def test_gradients_and_tied_weights_go_along(copy: Copy):
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    net[1].weight = net[0].weight
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    made, stepping = copy([net, optimizer])

    assert made[1].weight is made[0].weight
    assert stepping.param_groups[0]["params"][0] is made[0].weight
    assert torch.equal(made[0].weight.grad, net[0].weight.grad)


def test_a_small_view_does_not_take_its_big_storage_along(copy: Copy):
    big = torch.zeros(4_000_000)
    made = copy(big[:10].requires_grad_())

    assert made.requires_grad
    assert sum(p.stat().st_size for p in copy.run.results.iterdir()) < 2000


def test_a_view_of_a_big_storage_that_goes_anyway_stays_a_view(copy: Copy):
    big, view = copy([base := torch.zeros(4_000_000), base[:10]])
    view += 1

    assert big.sum() == 10


def test_files_are_private_and_many_small_buffers_are_one_file(copy: Copy):
    copy(torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(20)))
    files = list(copy.run.results.iterdir())

    assert len(files) == 3  # the pickle, the memory, and where in that each part is
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in files)


def test_a_full_disk_is_told(run: RunDir, monkeypatch: pytest.MonkeyPatch):
    def full(fd: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)

    with pytest.raises(PlaceError, match="No space left on device"):
        pickling.dump(np.zeros(LARGE), run.results / "x.pkl", run, Sender(main={}))


# -- segments and cloudpickle's privates ----------------------------------------------------------


def test_segments_share_what_is_one_object(run: RunDir):
    writer = BlobWriter(run, run.blobs)
    sender = Sender(main={}, blobs=writer)
    shared, drafts, memo = {"lr": 1}, [], {}
    for value in ([shared], (shared, "b")):
        draft = Draft()
        pickler = Pickler(draft, sender)
        pickler.memo = memo
        pickler.dump(value)
        memo = pickler.memo.copy()
        drafts += draft.chunks
    reader = Unpickler(io.BytesIO(b"".join(drafts)), Receiver(main={}, blobs=BlobReader(run.blobs)))
    first, second = reader.load(), reader.load()

    assert first[0] is second[0]


def test_cloudpickle_is_what_we_build_on():
    """Holds the private names against what `cloud` expects of them."""
    plain = type("Plain", (), {"__module__": "__main__"})
    reduced = cloud.reduce_class(plain)
    tracker = reduced[1][4]

    assert cloud.reduce_class(int) is NotImplemented
    assert cloud.is_class(reduced)
    assert reduced[1][:4] == (type, "Plain", (object,), {"__module__": "__main__"})
    assert cloud.known_class(tracker) is plain
    assert cloud.class_for(tracker, int) is plain
    assert cloud.reduce_code(_code())[0] is types.CodeType
    assert list(cloud.code_globals(_code())) == ["types"]


def _code() -> types.CodeType:
    def f() -> Any:
        return types

    return f.__code__
