"""Ultralytics' trainers in the body of a %%ddp cell: all from cells, two ranks, real files."""

from __future__ import annotations

import json

import pytest

from ddp_magic.processes import wait_gone
from tests import test_ultralytics_trainer as named
from tests.kernels import FORKED
from tests.notebook import until
from tests.ultralytics_kernel import detection, done, photographs, ultralytics_kernel, value

pytestmark = [pytest.mark.workers, pytest.mark.timeout(400)]

IMPORTS = """
import functools, os, threading
import torch
from torch import nn
from torch.utils.data import DataLoader
from ultralytics import YOLO
from ultralytics.data.dataset import YOLODataset
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn import tasks
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import RANK
from ultralytics.utils.torch_utils import unwrap_model
"""
LIBRARY = """
class MyBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
    def forward(self, x):
        return x * self.scale
tasks.MyBlock = MyBlock

plain = DetectionTrainer.preprocess_batch
def preprocess(self, batch):
    self.patched = getattr(self, "patched", 0) + 1
    return plain(self, batch)
DetectionTrainer.preprocess_batch = preprocess
"""
TRAINER = """
class MyModel(DetectionModel):
    pass
class MyData(YOLODataset):
    def __getitem__(self, index):
        return {**super().__getitem__(index), "mine": index}
class MyTrainer(DetectionTrainer):
    def __init__(self, *args, gamma=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.gamma, self.made_in = gamma, RANK
    def get_model(self, cfg=None, weights=None, verbose=True):
        model = MyModel(cfg, nc=self.data["nc"], verbose=False)
        if weights:
            model.load(weights)
        return model
    def build_dataset(self, img_path, mode="train", batch=None):
        data = super().build_dataset(img_path, mode, batch)
        data.__class__ = MyData
        return data
seven = functools.partial(MyTrainer, gamma=7)
lock, seen = threading.Lock(), []
def note(trainer):
    with lock:
        seen.append((RANK, trainer.epoch, type(unwrap_model(trainer.model)).__name__))
def told(trainer):
    model = unwrap_model(trainer.model)
    weights = sum(float(p.detach().double().abs().sum()) for p in model.parameters())
    with open(place / f"{trainer.save_dir.name}-{RANK}.json", "w") as file:
        json.dump(dict(dir=trainer.save_dir.name, gamma=trainer.gamma, made_in=trainer.made_in,
                       world=trainer.world_size, patched=trainer.patched, weights=weights,
                       model=type(model).__name__, data=type(trainer.train_loader.dataset).__name__,
                       images=len(trainer.train_loader.sampler)), file)
"""
SETTINGS = """
recipe = place / "mine.yaml"
recipe.write_text('''
nc: 1
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, MyBlock, []]
head:
  - [[2], 1, Detect, [nc]]
''')
small = dict(data=str(place / "detect" / "data.yaml"), epochs=2, imgsz=32, batch=4, workers=0,
             plots=False, project=str(place / "runs"), optimizer="SGD", lr0=0.01)
kept = place / "runs" / "kept" / "notes.txt"
kept.parent.mkdir(parents=True)
kept.write_text("mine")
first = YOLO(recipe)
first.add_callback("on_train_epoch_end", note)
"""
BODY = """
%%ddp -n 2 --rank all -o best,seen,refused,batch,results
try:
    YOLO(recipe).train(trainer=seven, device=[0, 1], **small)
except ValueError as error:
    refused = str(error)
for model in (first, YOLO(recipe)):
    results = model.train(trainer=seven, name="fold", **small)
    told(model.trainer)
    print("rank", RANK, "got", type(results).__name__)
trainer = MyTrainer(overrides=dict(small, model=recipe, name="kept", exist_ok=True))
trainer.gamma = 8
trainer.train()
told(trainer)
best, batch = str(trainer.best), None
if RANK == 0 and {spawn}:
    loader = DataLoader(trainer.train_loader.dataset, 4, num_workers=1,
                        multiprocessing_context="spawn", collate_fn=MyData.collate_fn)
    batch = list(next(iter(loader))["mine"])
"""
SLOW = """
class Slow(MyTrainer):
    def optimizer_step(self):
        super().optimizer_step()
        if self.epoch > 1:
            (place / f"slow-{RANK}.new").write_text(str(os.getpid()))
            (place / f"slow-{RANK}.new").rename(place / f"slow-{RANK}")
"""
ENDLESS = """
%%ddp -n 2 --rank all --grace 20
try:
    YOLO(recipe).train(trainer=Slow, name="slow", **dict(small, epochs=10000))
finally:
    print("rank", RANK, "cleans up")
"""
RESUMED = """
%%ddp -n 2 --rank all -o resumed
def last_one(trainer):
    trainer.stop = True
model = YOLO(place / "runs" / "slow" / "weights" / "last.pt")
model.add_callback("on_train_epoch_start", last_one)
model.train(resume=True, trainer=MyTrainer)
told(model.trainer)
resumed = str(model.trainer.save_dir), model.trainer.start_epoch
"""
DIVERGING = """
%%ddp -n 2
class Diverging(MyTrainer):
    def optimizer_step(self):
        raise ValueError("diverged in " + str(self.epoch))
YOLO(recipe).train(trainer=Diverging, name="diverging", **small)
"""
ALONE = """
%%ddp -n 1 -o alone
model = YOLO(recipe)
model.train(trainer=seven, name="alone", **small)
alone = os.environ["RANK"], RANK, model.trainer.made_in, str(model.trainer.best)
"""
ONE_VALIDATES = """
%%ddp -n 2
model = YOLO(recipe)
model.train(trainer=MyTrainer, name="lone", **small)
if RANK == 0:
    model.val(data=small["data"])
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("ultralytics")


def started(release, place, forks):
    forks.start()
    detection(place / "detect")
    with ultralytics_kernel(release, place, DDP_MAGIC_STANDBY="0") as made:
        begin = f"import json\nfrom pathlib import Path\nplace = Path({str(place)!r})"
        done(made, f"{begin}\n{FORKED}", IMPORTS, LIBRARY, TRAINER, SETTINGS)
        yield made


@pytest.fixture(scope="module")
def kernel(place, forks):
    """The newest release."""
    yield from started("8.4.190", place, forks)


@pytest.fixture(scope="module")
def old_kernel(tmp_path_factory, forks):
    """The last one with the old launcher."""
    place = tmp_path_factory.mktemp("ultralytics")
    for made in started("8.3.253", place, forks):
        yield made, place


def check_body(kernel, place, *, spawn: bool, second: str) -> None:
    """All that is defined in cells is in both ranks, and their files are there once."""
    shown = done(kernel, BODY.replace("{spawn}", str(spawn)))
    assert "%%ddp does not know" not in shown, "all that we patch in this release is there"
    for name, gamma in (("fold", 7), (second, 7), ("kept", 8)):
        ranks = [json.loads((place / f"{name}-{rank}.json").read_text()) for rank in (0, 1)]
        assert [told.pop("made_in") for told in ranks] == [0, 1]
        assert ranks[0] == ranks[1], "one directory, and one model after averaging"
        assert ranks[0].pop("weights") > 0
        assert ranks[0] == {
            "dir": name, "gamma": gamma, "world": 2, "patched": 4, "model": "MyModel",
            "data": "MyData", "images": 4,
        }  # fmt: skip
    assert "rank 0 got DetMetrics" in shown
    assert "rank 1 got NoneType" in shown
    runs = sorted(path.name for path in (place / "runs").iterdir())
    assert runs == sorted(["fold", second, "kept"]), "nothing was made for the refused device"
    assert (place / "runs" / "kept" / "notes.txt").read_text() == "mine"
    rows = (place / "runs" / "fold" / "results.csv").read_text().splitlines()
    assert [row.split(",")[0].strip() for row in rows] == ["epoch", "1", "2"]
    assert value(kernel, "refused").startswith("device=[0, 1] asks for a GPU, and this run's 2")
    assert value(kernel, "seen") == [[0, 0, "MyModel"], [0, 1, "MyModel"]]
    assert value(kernel, "[RANK, type(results).__name__]") == [-1, "DetMetrics"]
    assert value(kernel, "type(YOLO(best).model) is MyModel")


def test_what_cells_define_trains_in_both_ranks_and_in_one_directory_each_time(kernel, place):
    check_body(kernel, place, spawn=True, second="fold-2")

    assert len(value(kernel, "batch")) == 4, "a spawned loader's worker knew the data set's class"


def test_an_interrupt_reaches_every_rank_and_the_training_is_resumed_where_it_was(kernel, place):
    done(kernel, SLOW)
    request = kernel.start(ENDLESS.strip("\n"))
    until(lambda: all((place / f"slow-{rank}").exists() for rank in (0, 1)), 120)
    kernel.manager.interrupt_kernel()
    status, shown = kernel.finish(request)

    assert status == "error"
    assert "stopped" in shown
    for rank in (0, 1):
        assert f"rank {rank} cleans up" in shown
    pids = [int((place / f"slow-{rank}").read_text()) for rank in (0, 1)]
    assert wait_gone(pids, 5) == []
    before = (place / "runs" / "slow" / "results.csv").read_text().splitlines()

    done(kernel, RESUMED)
    directory, epoch = value(kernel, "resumed")
    assert directory == str(place / "runs" / "slow")
    assert epoch > 0
    after = (place / "runs" / "slow" / "results.csv").read_text().splitlines()
    assert after[: len(before)] == before
    ranks = [json.loads((place / f"slow-{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0]["weights"] == ranks[1]["weights"]


def test_a_validation_of_rank_0_alone_says_whom_it_meets(kernel, place):
    status, shown = kernel.run(ONE_VALIDATES.strip("\n"))
    assert status == "error"
    told = " ".join(shown.splitlines()[-3:])
    assert "which not all ranks came to: it stands under `if RANK == 0:`" in told
    assert "Ultralytics meets the other ranks in it. Call it in the notebook after the run" in told


def test_the_old_release_does_all_of_it_too(old_kernel):
    check_body(*old_kernel, spawn=False, second="fold2")


def test_an_error_of_the_users_is_told_in_lines_of_the_notebook(old_kernel):
    status, shown = old_kernel[0].run(DIVERGING.strip("\n"))

    assert status == "error"
    assert "ValueError: diverged in 0" in shown
    assert 'raise ValueError("diverged in " + str(self.epoch))' in shown
    assert "failed in the same way" in shown
    assert "ChildFailedError" not in shown


def test_the_only_worker_is_no_rank_to_the_old_release(old_kernel):
    done(old_kernel[0], ALONE)
    kernel, place = old_kernel
    best = str(place / "runs" / "alone" / "weights" / "best.pt")
    assert value(kernel, "alone") == ["0", -1, -1, best]


def test_what_trainer_names_trains_in_the_old_release_too(old_kernel):
    kernel, place = old_kernel
    photographs(place / "photos")
    done(kernel, named.DEFINITIONS)
    named.check_body(kernel, place)
