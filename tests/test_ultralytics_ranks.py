"""What Ultralytics' ranks agree on, with fakes of its modules and of GPUs."""

from __future__ import annotations

import fcntl
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from ddp_magic.worker import frameworks
from ddp_magic.worker.frameworks import patches, ultralytics
from ddp_magic.worker.frameworks.ultralytics import files, ranks

LEAVE_OUT = "Leave device out"


class Store(dict[str, bytes]):
    """The launcher's store, in this process."""

    def set(self, key, value):
        self[key] = value.encode()

    def check(self, keys):
        return all(key in self for key in keys)


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """Of which libraries it is told that they are unknown: not of stand-ins that have little."""
    monkeypatch.setattr(patches, "_told", found := {"ultralytics"})
    return found


@pytest.fixture
def store(monkeypatch):
    made = Store()
    monkeypatch.setattr(ranks, "connect", lambda: made)
    return made


def be(monkeypatch, rank: int, workers: int) -> None:
    """Have this process be one of several workers, which has yet to begin."""
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(workers))
    monkeypatch.setattr(ranks, "_asked", type(ranks._asked)())


def library():
    """Return a stand-in for ultralytics.engine.trainer, as bare as it can be."""

    class BaseTrainer:
        def __init__(self, cfg=None, overrides=None, _callbacks=None):
            self.args = SimpleNamespace(**{**(cfg or {}), **overrides})
            self.device = torch.device("cpu" if self.args.device == "cpu" else "cuda")
            self.world_size = 0

        def _setup_ddp(self):
            self.met = "as ever"

    return SimpleNamespace(
        __name__="ultralytics.fake", BaseTrainer=BaseTrainer, DEFAULT_CFG={"device": None},
        nn=torch.nn,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a cell says, where, and what the trainer gets or the sentence that it raises."""

    said: object
    gpus: bool = True
    workers: int = 2
    got: object = None
    told: str = ""

    def __str__(self) -> str:
        return f"{self.said!r}-{self.workers}-{'gpu' if self.gpus else 'cpu'}"


DEVICES = [
    *(Device(said=said, got="0,1") for said in (None, "", "cuda", [0, 1], (0, 1), "0,1", "-1,-1")),
    Device(said="cuda:0,cuda:1", got="0,1"),
    Device(said=torch.device("cuda"), got="0,1"),
    *(Device(said=said, workers=1, got="0") for said in (None, "cuda", 0, "0", "cuda:0", [0])),
    Device(said="cpu", workers=1, got="cpu"),
    *(Device(said=said, gpus=False, got="cpu") for said in (None, "", "cpu", "cuda")),
    Device(said=None, gpus=False, workers=1, got="cpu"),
    Device(said="mps", gpus=False, got="mps"),
    *(Device(said=said, told="names 1 device, and this run has 2 workers") for said in (0, "0")),
    Device(said=torch.device("cuda", 1), told="names 1 device, and this run has 2 workers"),
    Device(said="0,1,2", told="device='0,1,2' names 3 devices, and this run has 2 workers"),
    Device(said=[0, 1], workers=1, told="device=[0, 1] names 2 devices, and this run has 1 worker"),
    Device(said="2,3", told="--devices on the %%ddp line chooses GPUs"),
    Device(said="cpu", told="leaves the GPUs of this run's 2 workers idle"),
    Device(said=0, gpus=False, told="device=0 asks for a GPU, and this run's 2 workers train on"),
    Device(said=[0, 1], gpus=False, workers=1, told="and this run's 1 worker trains on the CPU"),
]


@pytest.mark.parametrize("case", DEVICES, ids=str)
def test_a_trainer_gets_the_devices_of_the_ranks_or_a_sentence_at_once(case, monkeypatch):
    be(monkeypatch, 1, case.workers)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: case.gpus)
    module = library()
    ultralytics.train(module)
    given = {"epochs": 3} | ({} if case.said is None else {"device": case.said})
    if case.told:
        with pytest.raises(ValueError, match=LEAVE_OUT) as caught:
            module.BaseTrainer(overrides=given)
        assert case.told in str(caught.value)
        return

    trainer = module.BaseTrainer(overrides=given)

    assert trainer.args.device == case.got
    assert given == {"epochs": 3} | ({} if case.said is None else {"device": case.said})


def test_a_device_of_a_whole_configuration_is_checked_too(monkeypatch):
    be(monkeypatch, 0, 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    module = library()
    ultralytics.train(module)

    with pytest.raises(ValueError, match="names 3 devices"):
        module.BaseTrainer({"device": "0,1,2"}, {})


def test_a_checkpoint_of_other_devices_and_a_trainer_that_a_cell_has_patched_get_them_too(
    monkeypatch,
):
    be(monkeypatch, 0, 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    module = library()
    module.get_cfg = lambda cfg, overrides=None: SimpleNamespace(**{**cfg, **(overrides or {})})
    ultralytics.train(module)

    assert module.get_cfg({"device": "0,1,2,3"}).device == "0,1"
    assert module.get_cfg({"device": None}, {"epochs": 1}).device == "0,1"
    with pytest.raises(ValueError, match="names 3 devices"):
        module.get_cfg({"device": None}, {"device": [0, 1, 2]})


def test_ranks_on_the_cpu_are_the_world_and_gpus_are_left_alone(monkeypatch):
    be(monkeypatch, 0, 2)
    module = library()
    ultralytics.train(module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_cpu = module.BaseTrainer(overrides={})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    on_gpus = module.BaseTrainer(overrides={})
    on_gpus._setup_ddp()

    assert (on_cpu.world_size, on_gpus.world_size) == (2, 0)
    assert on_gpus.met == "as ever"
    with pytest.raises(AttributeError):
        assert module.BaseTrainer.__new__(module.BaseTrainer).world_size
    assert isinstance(torch.nn.Linear(1, 1), module.nn.Module)
    assert module.nn.parallel is not torch.nn.parallel, "everybody else keeps torch's own"


def test_a_second_training_takes_the_group_that_the_first_has_left(monkeypatch):
    be(monkeypatch, 1, 2)
    module = library()
    ultralytics.train(module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    trainer = module.BaseTrainer(overrides={})
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    trainer._setup_ddp()

    assert not hasattr(trainer, "met")
    assert trainer.device == torch.device("cuda", 1)


def places(tmp_path: Path):
    """Return a stand-in for get_save_dir, which takes another directory each time."""
    made = []

    def get_save_dir(args, name=None):
        made.append(tmp_path / f"{args.name}-{len(made)}")
        made[-1].mkdir()
        (made[-1] / "results.csv").write_text("of before")
        (made[-1] / "notes.txt").write_text("mine")
        return made[-1]

    return get_save_dir


def test_rank_0_chooses_a_directory_for_each_training_and_the_others_take_it(
    store, monkeypatch, tmp_path
):
    wrapped = files._agreed(places(tmp_path))
    fold, other = (SimpleNamespace(name=n, resume=False) for n in ("fold", "other"))
    be(monkeypatch, 0, 2)
    chosen = [wrapped(fold), wrapped(other), wrapped(fold)]
    be(monkeypatch, 1, 2)
    taken = [wrapped(fold), wrapped(fold)]  # it makes no other trainer

    assert chosen == [tmp_path / "fold-0", tmp_path / "other-1", tmp_path / "fold-2"]
    assert taken == [chosen[0], chosen[2]]
    assert [path.name for path in sorted(chosen[0].iterdir())] == ["notes.txt"]


@pytest.mark.parametrize("resume", [True, "last.pt"])
def test_what_is_resumed_keeps_its_rows(resume, store, monkeypatch, tmp_path):
    be(monkeypatch, 0, 2)
    place = files._agreed(places(tmp_path))(SimpleNamespace(name="slow", resume=resume))

    assert (place / "results.csv").read_text() == "of before"


def test_a_restarted_attempt_does_not_take_the_directory_of_the_one_before(
    store, monkeypatch, tmp_path
):
    wrapped, args = files._agreed(places(tmp_path)), SimpleNamespace(name="again", resume=False)
    for attempt in "01":
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", attempt)
        be(monkeypatch, 0, 2)
        chosen = wrapped(args)
        be(monkeypatch, 1, 2)

        assert wrapped(args) == chosen
    assert len(store) == 2


def test_a_rank_that_waits_for_a_rank_0_that_never_comes_says_so(store, monkeypatch, tmp_path):
    monkeypatch.setattr(ranks, "_PATIENCE", 0.0)
    be(monkeypatch, 1, 2)

    with pytest.raises(TimeoutError, match="Make the trainer in every rank"):
        files._agreed(places(tmp_path))(SimpleNamespace(name="fold", resume=False))


def test_what_fails_in_rank_0_fails_in_the_others_at_once(store, monkeypatch):
    def get_save_dir(args, name=None):
        raise PermissionError("no place to write")

    wrapped, args = files._agreed(get_save_dir), SimpleNamespace(name="fold", resume=False)
    be(monkeypatch, 0, 2)
    with pytest.raises(PermissionError):
        wrapped(args)
    be(monkeypatch, 1, 2)
    with pytest.raises(RuntimeError, match=r"^Rank 0 could not .*: PermissionError: no place"):
        wrapped(args)


def test_the_only_worker_and_rank_0_after_training_are_no_ranks(monkeypatch):
    module, other = ModuleType("ultralytics.fake"), ModuleType("others")
    for each in (module, other):
        each.RANK = each.LOCAL_RANK = 0
        monkeypatch.setitem(sys.modules, each.__name__, each)
    monkeypatch.setitem(sys.modules, "ultralytics", ModuleType("ultralytics"))
    settings = SimpleNamespace(DEFAULT_CFG_DICT={}, DEFAULT_CFG=SimpleNamespace())
    be(monkeypatch, 0, 2)
    ultralytics.begin(settings)

    assert module.RANK == 0, "one of several"
    assert settings.DEFAULT_CFG_DICT == {"save_dir": None}
    be(monkeypatch, 0, 1)
    ultralytics.begin(settings)
    assert (module.RANK, module.LOCAL_RANK, other.RANK) == (-1, -1, 0)
    module.RANK = 0
    frameworks.go_alone()
    assert module.RANK == -1


def test_ranks_fetch_a_file_one_after_the_other(monkeypatch, tmp_path):
    main = tmp_path / "main.py"
    main.touch()
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(main), raising=False)
    be(monkeypatch, 0, 2)

    def safe_download(name):
        with open(main, "rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return name

    module = SimpleNamespace(safe_download=safe_download)
    ultralytics.download(module)

    assert [module.safe_download(name) for name in "ab"] == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == ["main.py"]


def test_a_sweep_that_would_start_programs_of_its_own_is_refused(monkeypatch):
    class MultiTrainer:
        def __init__(self, trainer, *_):
            self.trainer = trainer

    module = library()
    module.MultiTrainer = MultiTrainer
    ultralytics.train(module)
    be(monkeypatch, 0, 2)
    with pytest.raises(ValueError, match="Name a trainer, as in trainer=DetectionTrainer"):
        MultiTrainer(None, {}, None)

    assert MultiTrainer("a class", {}, None).trainer == "a class"
    be(monkeypatch, 0, 1)
    assert MultiTrainer(None, {}, None).trainer is None


def test_a_release_without_some_of_the_names_is_left_as_it_is_and_told_once(told):
    module = library()
    module.get_cfg = module.get_save_dir = len
    module.BaseTrainer.get_dataset = len
    told.clear()
    ultralytics.train(module)  # without a MultiTrainer: releases before 8.4 have none
    assert told == set()
    del module.BaseTrainer._setup_ddp
    with pytest.warns(RuntimeWarning, match=r"fake has changed \(it has no .*_setup_ddp\)\. Make"):
        ultralytics.train(module)
    ultralytics.download(SimpleNamespace(__name__="ultralytics.other"))

    assert not hasattr(module.BaseTrainer, "_setup_ddp")
