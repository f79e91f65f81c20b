"""Ultralytics' trainers named by --trainer: classes and objects from cells, and what comes back."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from ddp_magic.processes import marked, wait_gone
from tests.kernels import FORKED, LAUNCHED
from tests.notebook import until
from tests.ultralytics_kernel import done, photographs, ultralytics_kernel, value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fork_server import Forks
    from tests.kernels import Kernel

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "ultralytics.ipynb"

pytestmark = [pytest.mark.workers, pytest.mark.timeout(400)]

DEFINITIONS = """
import csv, functools, os, sys, threading, torch
from ultralytics import YOLO
from ultralytics.models.yolo.classify import ClassificationTrainer
from ultralytics.nn.tasks import ClassificationModel
from ultralytics.utils import RANK
table = torch.arange(25_000_000.)  # 100 MB
seen = []
class MyModel(ClassificationModel):
    def whose(self):
        return "mine"
class MyTrainer(ClassificationTrainer):
    gamma = 1
    def get_model(self, cfg=None, weights=None, verbose=True):
        return MyModel(cfg, nc=self.data["nc"], ch=3, verbose=False)
    def set_model_attributes(self):
        super().set_model_attributes()
        module = sys.modules["__main__"]
        name = getattr(self.model, "name_of_it", "new")
        print(f"rank {RANK}: gamma {self.gamma}, a {name} model, {len(table)} numbers")
def note(trainer):
    seen.append(trainer.epoch)
SETTINGS = dict(model="yolov8n-cls.yaml", data=str(place / "photos"), imgsz=32, batch=4, workers=0,
                plots=False, project=str(place / "runs"))
chosen = str(place / "chosen")
ready = functools.partial(MyTrainer, overrides=dict(SETTINGS, epochs=9))
"""
WITH_BODY = """
%%ddp -n 2 --rank all --trainer ready epochs=2 save_dir={chosen} -o best,metrics,rows,modes
best = trainer.best
metrics = {name: float(value) for name, value in trainer.metrics.items()}
with open(trainer.csv, newline="") as file:
    rows = [row["epoch"].strip() for row in csv.DictReader(file, skipinitialspace=True)]
from pathlib import Path
run = Path(__file__).parent
readable = {path.name: path.stat().st_size for path in run.rglob("*") if path.stat().st_mode & 0o77}
modes = oct(run.stat().st_mode & 0o777), readable, str(run)
"""
INSTANCE = """
trainer = ready()
trainer.gamma = 7
trainer.add_callback("on_train_epoch_end", note)
trainer.model = trainer.get_model("yolov8n-cls.yaml")
trainer.model.name_of_it = "prepared"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("named")


@pytest.fixture(scope="module")
def kernel(place: Any, forks: Forks) -> Iterator[Kernel]:
    forks.start()
    photographs(place / "photos")
    (place / "tmp").mkdir()
    environment = {"DDP_MAGIC_STANDBY": "0", "TMPDIR": str(place / "tmp")}
    with ultralytics_kernel("8.4.190", place, **environment) as made:
        first = f"from pathlib import Path\nplace = Path({str(place)!r})\n{FORKED}"
        done(made, first, DEFINITIONS)
        yield made


def left(place: Any) -> list[str]:
    """Return what upstream's own launcher would leave behind."""
    return [p.name for p in (place / "settings").rglob("*") if p.suffix in {".py", ".pt"}]


def check_body(kernel: Kernel, place: Any) -> None:
    shown = done(kernel, WITH_BODY)
    for rank in (0, 1):
        assert f"rank {rank}: gamma 1, a new model, 25000000 numbers" in shown
    assert "epochs=2 → ready(epochs)" in shown
    assert value(kernel, "best") == str(place / "chosen" / "weights" / "best.pt")
    assert value(kernel, "rows") == ["1", "2"]
    assert 0 <= value(kernel, "metrics['metrics/accuracy_top1']") <= 1
    model = "YOLO(best).model"
    assert value(kernel, f"[type({model}) is MyModel, {model}.whose()]") == [True, "mine"]
    mode, readable, run = value(kernel, "modes")
    assert mode == "0o700"
    assert not readable.keys() - {"events.jsonl", "guard.log"}
    sent = [path for path in Path(run).rglob("*") if path.suffix in {".py", ".pkl", ".bin"}]
    assert {path.parent.name for path in sent} == {"results"}  # which the next run removes
    assert left(place) == []


def test_a_partial_trains_into_the_directory_it_is_given_and_its_files_are_read(
    kernel: Kernel, place: Any
) -> None:
    check_body(kernel, place)


def test_a_trainer_of_the_notebook_is_made_anew_and_tells_its_end(
    kernel: Kernel, place: Any
) -> None:
    done(kernel, INSTANCE)
    shown = done(kernel, "done = %ddp -n 2 --rank all --trainer trainer epochs=1")
    for rank in (0, 1):
        assert f"rank {rank}: gamma 7, a prepared model, 25000000 numbers" in shown
    assert "epochs=1 → trainer(epochs)" in shown
    assert "Rank 0 changed seen, and here it is as before. Add -o seen next time" in shown
    assert value(
        kernel, "[seen, done.best, done.save_dir, len(done.rows), done.rows[0]['epoch']]"
    ) == [
        [],
        value(kernel, "trainer.best"),
        value(kernel, "trainer.save_dir"),
        1,
        1,
    ]
    assert value(kernel, "'metrics/accuracy_top1' in done.metrics") is True
    assert value(kernel, "type(YOLO(done.best).model) is MyModel") is True


def test_the_notebook_of_this_library_runs_as_it_is(kernel: Kernel, place: Any) -> None:
    cells = [c.source for c in nbformat.read(NOTEBOOK, 4).cells if c.cell_type == "code"]
    done(kernel, LAUNCHED, f"os.chdir({str(place)!r})")
    shown = done(kernel, *cells)
    assert "epochs=6 → model.train(epochs)" in shown
    assert "right" in shown
    assert "'Brisk'" in shown
    loss, (one, other), alone = value(kernel, "(told['loss'], told['parameters'], len(losses))")
    assert (one, alone) == (other, 6)
    assert 0 < loss < 1
    files = [p.relative_to(place / "runs").as_posix() for p in (place / "runs").glob("shapes*/*")]
    assert sorted(files) == ["shapes/args.yaml", "shapes/results.csv", "shapes/weights"]


REFUSED = {
    "%ddp -n 2 --trainer MyTrainer epoch=3": "Did you mean epochs=3?",
    "%ddp -n 2 --trainer MyTrainer epochs=abc": "epochs` is an int (100)",
    "%ddp -n 2 --trainer MyTrainer epochs=0": "Ultralytics does not take this",
    "%ddp -n 2 --trainer MyTrainer batch=-1": "batch=-1 lets Ultralytics try out what fits",
    "%ddp -n 2 --trainer MyTrainer device=0": "Leave it out",
    "%%ddp -n 2\ntrainer.train()": "Name it behind --trainer",
    "%ddp -n 2 --trainer trainer epochs=1": "which no worker can have",
}


def test_what_cannot_be_is_told_before_anything_is_touched(kernel: Kernel, place: Any) -> None:
    done(kernel, INSTANCE)
    directory = value(kernel, "str(trainer.save_dir)")
    done(
        kernel,
        f"(Path({directory!r}) / 'mine.txt').write_text('kept')",
        "held = threading.Lock(); held.acquire()\n"
        "trainer.add_callback('on_train_end', lambda trainer: held.release())",
    )
    before = sorted(map(str, place.rglob("*")))
    for cell, told in REFUSED.items():
        status, shown = kernel.run(cell)
        assert status == "error", cell
        assert told in shown, shown
    assert sorted(map(str, place.rglob("*"))) == before
    assert left(place) == []


def test_a_kernel_that_is_killed_in_a_training_leaves_nothing(kernel: Kernel, place: Any) -> None:
    marker = place / "training"
    waiting = f"""
def wait(trainer):
    Path({str(marker)!r}).touch()
    threading.Event().wait()
"""
    done(kernel, LAUNCHED, waiting, INSTANCE, "trainer.add_callback('on_train_start', wait)")
    kernel.start("%ddp -n 2 --trainer trainer epochs=1")
    until(marker.exists)
    pids = marked(place / "tmp")
    os.kill(kernel.pid, signal.SIGKILL)

    assert len(pids) >= 4  # guard, agent, 2 workers
    assert wait_gone(pids, 10) == []
    until(lambda: not [*(place / "tmp").glob("ddp_magic-*")], 10)
    assert left(place) == []
