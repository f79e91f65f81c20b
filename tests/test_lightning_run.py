"""Lightning itself, on two workers of a real kernel: what its notebook shows and gets back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fork_server import Forks
from tests.kernels import FORKED, Kernel, kernel
from tests.notebook import until

pytestmark = [pytest.mark.kernel, pytest.mark.workers]

DEFINED = """
import json, os, time
from pathlib import Path
import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.randn(64, 4)
class Sums(L.LightningDataModule):
    def prepare_data(self):
        (folder / "prepared").open("a").write("once ")
    def setup(self, stage):
        self.data = TensorDataset(x, x.sum(1, keepdim=True))
    def train_dataloader(self):
        return DataLoader(self.data, batch_size=8, shuffle=True)
    def val_dataloader(self):
        return DataLoader(self.data, batch_size=8)
    test_dataloader = predict_dataloader = val_dataloader
class Net(L.LightningModule):
    def __init__(self, lr=0.05):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Linear(4, 1)
    def training_step(self, batch, number):
        if slow and self.global_step == 3 and self.trainer.is_global_zero:
            (folder / "training").touch()
        time.sleep(slow)
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss
    def validation_step(self, batch, number):
        self.log("val_loss", nn.functional.mse_loss(self.net(batch[0]), batch[1]), sync_dist=True)
    test_step = validation_step
    def predict_step(self, batch, number):
        return self.net(batch[0])
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.lr)
class Seen(L.Callback):
    def __init__(self):
        self.epochs = []
    def on_train_epoch_end(self, trainer, model):
        self.epochs.append(trainer.current_epoch)
def weights(model):
    return [p.tolist() for p in model.parameters()]
def gathered(value):
    found = [None] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found
quiet = {"enable_progress_bar": False, "enable_model_summary": False}
slow = 0
"""
FITTED_HERE = """
L.seed_everything(0)
net, data, seen = Net(), Sums(), Seen()
checkpoint = ModelCheckpoint(monitor="val_loss", save_last=True)
logger = CSVLogger(folder)
alone = L.Trainer(max_epochs=2, default_root_dir=folder / "alone", accelerator="cpu", **quiet)
alone.fit(net, datamodule=data)
kept = weights(net)
"""
TRAINED = """
%%ddp -n 2 -o told,net,best,seen,trainer,fabric_net,loader
said = []
for wrong in (dict(devices=1), dict(devices=4), dict(devices=[0, 1])):
    try:
        L.Trainer(logger=False, **quiet, **wrong).fit(net, datamodule=data)
    except Exception as error:
        said.append(" ".join([str(error), *getattr(error, "__notes__", ())]))
L.seed_everything(0)
net = Net()
trainer = L.Trainer(
    max_epochs=2, devices=2, strategy="ddp_notebook", default_root_dir=folder, logger=logger,
    callbacks=[seen, checkpoint, EarlyStopping("val_loss"), LearningRateMonitor()],
    log_every_n_steps=1,
)
trainer.fit(net, datamodule=data)
best = checkpoint.best_model_path
told = {
    "world": trainer.world_size, "weights": gathered(weights(net)), "said": gathered(said),
    "own": gathered(net.trainer is trainer),
}
again = L.Trainer(max_epochs=3, logger=False, enable_checkpointing=False, **quiet)
again.fit(net, datamodule=data, ckpt_path=checkpoint.last_model_path)
told |= {"resumed": [again.current_epoch, again.global_step],
         "tested": again.test(net, datamodule=data, verbose=False),
         "predicted": sum(map(len, again.predict(net, datamodule=data)))}
again = L.Trainer(devices=1, logger=False, **quiet)
told["alone"] = again.test(net, datamodule=data, verbose=False)
fabric = L.Fabric()
fabric.launch()
fabric_net = nn.Linear(4, 1)
fabric_net, optimizer = fabric.setup(fabric_net, torch.optim.SGD(fabric_net.parameters(), 0.05))
loader = fabric.setup_dataloaders(data.val_dataloader())
told["rows"] = sum(len(a) for a, _ in loader)
for a, b in loader:
    loss = nn.functional.mse_loss(fabric_net(a), b)
    optimizer.zero_grad(); fabric.backward(loss); optimizer.step()
told["fabric"] = fabric.world_size, gathered(weights(fabric_net))
fabric.save(folder / "fabric.ckpt", {"model": fabric_net})

import lightning.fabric.accelerators.cuda as cuda  # from here on as if there were two GPUs
cuda.num_cuda_devices = torch.cuda.device_count = lambda: 2
torch.cuda.get_device_capability = lambda *_: (8, 0)
def chosen(**given):
    try:
        strategy = L.Trainer(**given, logger=False).strategy
    except Exception as error:
        return " ".join([str(error), *error.__notes__])
    return str(strategy.root_device), type(strategy).__name__
told["gpus"] = gathered([chosen(), chosen(devices=[0, 1]), chosen(devices=[1]),
                         chosen(devices=2, strategy="ddp_notebook"), chosen(devices=[1, 2])])
"""
LOOKED = """
print(json.dumps(told | {
    "kept": kept, "seen": seen.epochs, "best": best, "metrics": sorted(trainer.callback_metrics),
    "fabric_net": type(fabric_net).__name__, "loads": type(Net.load_from_checkpoint(best)) is Net,
    "here": [type(net) is Net, net._trainer is None, alone.lightning_module is net],
    "files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()),
    "prepared": (folder / "prepared").read_text(),
}))
"""
# One process, as it is after a Trainer(devices=1): it predicts, tests, trains on and saves.
USED = """
whole = x.sum(1, keepdim=True)
error = lambda: nn.functional.mse_loss(net.net(x), whole).item()
used = {"predicted": sum(map(len, trainer.predict(net, datamodule=data))),
        "tested": trainer.test(net, datamodule=data, verbose=False)[0]["val_loss"],
        "error": error(), "rows": sum(len(a) for a, _ in loader)}
trainer.fit_loop.max_epochs, before = 6, trainer.global_step
trainer.fit(net, datamodule=data)
trainer.save_checkpoint(folder / "after.ckpt")
loaded = Net.load_from_checkpoint(folder / "after.ckpt")
print(json.dumps(used | {"steps": [before, trainer.global_step], "after": error(),
                         "world": trainer.world_size, "same": weights(loaded) == weights(net)}))
"""


@pytest.fixture(scope="module")
def notebook(
    tmp_path_factory: pytest.TempPathFactory, forks: Forks
) -> Iterator[tuple[Kernel, Path]]:
    forks.start()
    folder = tmp_path_factory.mktemp("lightning")
    with kernel(beside="frameworks", DDP_MAGIC_STANDBY="0") as made:
        for cell in (FORKED, DEFINED, f"folder = Path({str(folder)!r})"):
            assert made.run(cell)[0] == "ok"
        yield made, folder


@pytest.fixture(scope="module")
def trained(notebook: tuple[Kernel, Path]) -> tuple[str, dict[str, Any]]:
    """What the cell showed, and what the notebook then has."""
    made, _ = notebook
    for cell in (FITTED_HERE, "(folder / 'prepared').unlink()"):
        status, shown = made.run(cell)
        assert status == "ok", shown
    status, shown = made.run(TRAINED.strip("\n"))
    assert status == "ok", shown
    status, looked = made.run(LOOKED)
    assert status == "ok", looked
    return shown, json.loads(looked)


def test_the_ranks_train_one_model_and_not_that_of_one_process(trained):
    _, told = trained
    first, second = told["weights"]

    assert told["world"] == 2
    assert first == second != told["kept"]
    assert told["own"] == [True, True]
    assert told["fabric"][0] == 2
    assert told["fabric"][1][0] == told["fabric"][1][1]


def test_devices_that_are_not_the_workers_are_refused_in_every_rank(trained):
    _, told = trained
    one, four, listed = told["said"][0]

    assert told["said"][0] == told["said"][1]
    assert "each of the 2 workers would train a model of its own" in one
    assert "is for 4 devices, and %%ddp has started 2 workers" in four
    assert "started 2 workers, on the CPU. Leave accelerator, devices" in listed


def test_on_gpus_each_rank_takes_its_own(trained):
    _, told = trained
    for rank, (auto, listed, one, as_in_notebooks, absent) in enumerate(told["gpus"]):
        assert auto == listed == as_in_notebooks == [f"cuda:{rank}", "DDPStrategy"]
        assert one == ["cuda:1", "SingleDeviceStrategy"]  # which may test, and is not to fit
        assert "You requested gpu: [1, 2]" in absent
        assert "%%ddp has started 2 workers" in absent


def test_what_it_trained_and_logged_comes_back(trained):
    shown, told = trained

    assert told["here"] == [True, True, False]
    assert told["seen"] == [0, 1]
    assert told["loads"]
    assert {"loss", "val_loss"} <= set(told["metrics"])
    assert told["fabric_net"] == "Linear"
    assert "separate models" not in shown
    assert "seems to hang" not in shown


def test_it_resumes_tests_and_predicts_in_the_same_cell(trained):
    _, told = trained

    assert told["resumed"] == [3, 12]
    assert told["tested"][0]["val_loss"] == pytest.approx(told["alone"][0]["val_loss"])
    assert told["predicted"] == 32


def test_files_of_rank_0_are_there_once(trained):
    _, told = trained
    files = [f for f in told["files"] if not f.startswith(("alone", "prepared"))]

    assert Path(told["best"]).name in {Path(f).name for f in files}
    assert sorted(Path(f).name for f in files) == sorted(
        ["fabric.ckpt", Path(told["best"]).name, "hparams.yaml", "last.ckpt", "metrics.csv"]
    )
    assert set(told["prepared"].split()) == {"once"}


def test_what_it_logs_is_what_the_run_is_known_by(trained, notebook):
    _, shown = notebook[0].run("%ddp_runs 1")

    assert "val_loss" in shown


def test_a_trainer_that_trainer_names_is_looked_at_in_rank_0(trained, notebook):
    made, folder = notebook
    made.run(
        "def train(lr, epochs=1):\n"
        "    trainer = L.Trainer(max_epochs=epochs, default_root_dir=folder / 'named', **quiet)\n"
        "    trainer.fit(Net(lr), datamodule=Sums())\n"
        "    return trainer"
    )
    status, shown = made.run(
        "%%ddp -n 2 --trainer train lr=0.01 epochs=2 -o found\n"
        "trainer.save_checkpoint(folder / 'named.ckpt')\n"
        "found = [trainer.is_global_zero, trainer.model.hparams.lr, trainer.current_epoch]\n"
        "found += [trainer.checkpoint_callback.best_model_path, trainer.log_dir]\n"
        "mine = L.Trainer(logger=False, **quiet)\n"
        "found.append(len(mine.test(trainer.model, datamodule=Sums())))\n"
        "try:\n    trainer.test(trainer.model, datamodule=Sums())\n"
        "except RuntimeError as error:\n    found.append(str(error))\n"
    )
    assert status == "ok", shown
    status, shown = made.run("print(json.dumps(found))")
    *found, best, _, tests, said = json.loads(shown)

    assert found == [True, 0.01, 2]
    assert Path(best).exists()
    assert (folder / "named.ckpt").exists()
    assert tests == 1
    assert "Make a Trainer(devices=1) for this here" in said


def test_what_comes_back_works_for_the_one_process_of_the_notebook(trained, notebook):
    _, told = trained
    made, _ = notebook
    status, shown = made.run(USED)
    assert status == "ok", shown
    used = json.loads(shown.splitlines()[-1])

    assert told["rows"] == 32, "a rank's part"
    assert (used["rows"], used["predicted"], used["world"]) == (64, 64, 1)
    assert used["tested"] == pytest.approx(used["error"])
    before, after = used["steps"]
    assert (before, after) == (8, 8 + 4 * 8), "two epochs of four batches, four more of eight"
    assert used["after"] < used["error"]
    assert used["same"]


def test_stop_ends_a_fit_as_stopped_with_what_it_had(trained, notebook):
    made, folder = notebook
    made.run("slow = 0.05")
    request = made.start(
        "%%ddp -n 2 -o half,after\n"
        "half = Net()\n"
        "L.Trainer(max_epochs=999, logger=False, **quiet).fit(half, datamodule=Sums())\n"
        "after = 1"
    )
    until((folder / "training").exists)
    asked = time.monotonic()
    made.manager.interrupt_kernel()
    status, shown = made.finish(request)
    took = time.monotonic() - asked

    assert status == "error"
    assert "The run was stopped: interrupted." in shown
    assert "stopped in" in shown
    assert "Not brought back: after" in shown
    assert took < 20
    assert made.run("print(type(half) is Net, half.net.weight.requires_grad)")[1] == "True True\n"
