"""Hugging Face's Trainer and Accelerate by their own API, all of it from cells, in real workers."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ddp_magic.events import Metrics, OutputChunk
from ddp_magic.metrics.scrape import Scrape
from tests.fork_server import Forks
from tests.frameworks import Cells, cells, script
from tests.notebook import until

pytestmark = [pytest.mark.kernel, pytest.mark.workers]

DEFINITIONS = """
import hashlib, os
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from accelerate import Accelerator, notebook_launcher
from accelerate.utils import gather_object
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback
from transformers import TrainingArguments, set_seed

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, x, labels=None):
        logits = self.layers(x)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}

class Rows(Dataset):
    def __init__(self, count, seed):
        draw = torch.Generator().manual_seed(seed)
        self.x = torch.randn(count, 8, generator=draw)
        self.y = (self.x.sum(1) > 0).long()

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]

def collate(items):
    return {"x": torch.stack([x for x, _ in items]), "labels": torch.stack([y for _, y in items])}

def accuracy(predicted):
    return {"accuracy": float((predicted.predictions.argmax(1) == predicted.label_ids).mean())}

class Record(TrainerCallback):
    def __init__(self):
        self.seen = []

    def on_epoch_end(self, args, state, control, **kwargs):
        self.seen.append([args.world_size, args.process_index, state.global_step])

class Own(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        out = model(**inputs)
        loss = 2 * out["loss"]
        return (loss, out) if return_outputs else loss

    def _save(self, output_dir=None, state_dict=None):
        if self.args.should_save:
            with open("written", "a") as file:
                file.write(f"{os.environ.get('RANK')} {os.path.basename(output_dir)}\\n")
        super()._save(output_dir, state_dict)

def digest(model):
    held = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
    return hashlib.sha256(held).hexdigest()[:12]

def make(epochs=1):
    set_seed(3)
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=10, hidden_size=16, max_position_embeddings=8, **small)
    data = [{"input_ids": torch.tensor([i % 9, i % 7]), "labels": i % 2} for i in range(32)]
    args = TrainingArguments(
        "made", num_train_epochs=epochs, save_strategy="no", report_to="none", use_cpu=True
    )
    return Trainer(BertForSequenceClassification(config), args, train_dataset=data)
"""
MADE = """
set_seed(1)
net = Net()
args = TrainingArguments(
    "out", per_device_train_batch_size=8, learning_rate=0.05, logging_steps=2, report_to="none",
    eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True, use_cpu=True,
)
args.num_train_epochs = 2
given = {"data_collator": collate, "compute_metrics": accuracy}
given |= {"train_dataset": Rows(64, 1), "eval_dataset": Rows(32, 2)}
"""
TRAINING = """
record = Record()
trainer = Own(net, args, callbacks=[record], **given)
output = trainer.train()
told = {
    "loss": output.training_loss,
    "parameters": gather_object([digest(net)]),
    "world": [args.world_size, args.process_index, str(args.device), args.n_gpu],
    "bars": [type(each).__name__ for each in trainer.callback_handler.callbacks],
    "seen": gather_object(record.seen),
    "best": trainer.state.best_model_checkpoint,
    "log": trainer.state.log_history,
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def notebook(folder: Path, forks: Forks):
    forks.start()
    with cells(folder) as made:
        made.run(DEFINITIONS, MADE)
        yield made


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of `TRAINING` in two workers, and the same in other ways.

    Attributes:
        shown: What its cell showed.
        told: What came back.
        digests: The model in the notebook, before and after.
        written: What `Own` wrote, by rank.
        alone: What the notebook's own process told, with the arguments that came back.
        torchrun: What a program of the same cells told.
    """

    shown: str
    told: dict[str, Any]
    digests: list[str]
    written: list[str]
    alone: dict[str, Any]
    torchrun: dict[str, Any]


@pytest.fixture(scope="module")
def run(notebook: Cells, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    elsewhere = tmp_path_factory.mktemp("torchrun")
    plain = script(elsewhere, DEFINITIONS, MADE, TRAINING)
    notebook.run("import copy; untrained = copy.deepcopy(net); world = args.world_size")
    before = notebook.value("digest(net)")
    shown = notebook.run(f"%%ddp -n 2 -o told,net,args,output\n{TRAINING}")
    told, after = notebook.value("told"), notebook.value("digest(net)")
    written = (folder / "written").read_text().splitlines()
    notebook.run("args.output_dir = 'alone'", TRAINING.replace("(net", "(untrained"))
    out, err = plain.communicate(timeout=120)
    assert plain.returncode == 0, err
    return Run(
        shown=shown,
        told=told,
        digests=[before, after],
        written=written,
        alone=notebook.value("told"),
        torchrun=json.loads(out.splitlines()[-1]),
    )


def test_all_of_it_from_cells_trains_one_model_as_torchrun_does(run: Run):
    told = run.told
    before, after = run.digests

    assert told["parameters"] == [after, after] != [before, before]
    assert (told["parameters"], told["loss"]) == (run.torchrun["parameters"], run.torchrun["loss"])
    assert run.alone["parameters"] not in ([after], [before])


def test_arguments_of_an_earlier_cell_know_their_rank_and_come_back_for_one_process(run: Run):
    assert run.told["world"] == run.torchrun["world"] == [2, 0, "cpu:0", 0]
    assert run.alone["world"] == [1, 0, "cpu", 0]
    steps = [[2, rank, step] for rank in (0, 1) for step in (4, 8)]
    assert run.told["seen"] == steps


def test_metrics_progress_and_the_best_checkpoint_are_there_once(run: Run, folder: Path):
    best = run.told["best"]
    log = run.told["log"]

    assert run.written == ["0 checkpoint-4", "0 checkpoint-8"]
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["checkpoint-4", "checkpoint-8"]
    assert best in ("out/checkpoint-4", "out/checkpoint-8")
    assert [each["step"] for each in log if "eval_accuracy" in each] == [4, 8]
    assert "ProgressCallback" in run.told["bars"], "none that draws in a notebook"
    losses = [each["loss"] for each in log if "loss" in each]
    read = [dict(e.values) for e in _metrics(run.shown) if "loss" in dict(e.values)]
    assert [each["loss"] for each in read] == pytest.approx(losses, rel=1e-3)
    assert all(each.keys() == {"loss", "grad_norm", "learning_rate"} for each in read)


def _metrics(shown: str) -> list[Metrics]:
    chunk = OutputChunk(time=0, rank=0, stream="stdout", data=shown.encode(), skipped=0)
    return [event for event in Scrape(0).feed(chunk) if isinstance(event, Metrics)]


def test_a_function_that_makes_a_trainer_is_trained_by_its_name(notebook: Cells):
    shown = notebook.run(
        """
        %%ddp -n 2 --trainer make epochs=3 -o told,back
        told = [trainer.state.global_step, trainer.args.num_train_epochs]
        back = trainer
        """
    )

    assert "epochs=3 → make(epochs)" in shown
    assert notebook.value("told") == [6, 3]
    notebook.run("measured = back.evaluate(back.train_dataset)")
    assert notebook.value("[back.args.world_size, back.accelerator.num_processes]") == [1, 1]


def test_accelerate_counts_the_workers_and_its_model_of_mixed_precision_comes_back(
    notebook: Cells,
):
    notebook.run(
        """
        %%ddp -n 2 -o told,other,loader
        torch.manual_seed(0)
        accelerator = Accelerator(gradient_accumulation_steps=2, mixed_precision="bf16")
        other = Net()
        optimizer = torch.optim.SGD(other.parameters(), 0.1)
        loader = DataLoader(Rows(48, 3), 8, collate_fn=collate)
        model, optimizer, loader = accelerator.prepare(other, optimizer, loader)
        steps, seen = 0, []
        for batch in loader:
            with accelerator.accumulate(model):
                out = model(**batch)
                accelerator.backward(out["loss"])
                optimizer.step()
                optimizer.zero_grad()
            steps += accelerator.sync_gradients
            seen.append(accelerator.gather_for_metrics(batch["labels"]))
        accelerator.save_state("state")
        accelerator.wait_for_everyone()
        saved = digest(other)
        with torch.no_grad():
            other.layers[0].weight.zero_()
        accelerator.load_state("state")
        accelerator.print("said once")
        told = [accelerator.num_processes, len(loader), steps, len(torch.cat(seen))]
        told += [str(out["loss"].dtype), digest(other) == saved, *gather_object([saved])]
        def launched(name):
            return told.append(gather_object([f"{name}{accelerator.process_index}"]))
        notebook_launcher(launched, args=("rank ",), num_processes=2)
        try:
            notebook_launcher(launched, num_processes=4)
        except ValueError as error:
            told.append(str(error))
        """
    )

    *told, one, two, launched, refused = notebook.value("told")
    assert launched == ["rank 0", "rank 1"], "it started no more processes"
    assert "is to start 4 processes, and %%ddp has started 2 workers. Leave" in refused
    assert told == [2, 3, 2, 48, "torch.float32", True]
    assert one == two == notebook.value("digest(other)")
    assert notebook.value("other(Rows(4, 1).x)['logits'].dtype == torch.float32")
    assert notebook.value("sum(len(batch['labels']) for batch in loader)") == 48


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%%ddp -n 2\nhere.train()", "here (assigned in Cell In["),
        ("%ddp -n 2 --trainer here", "a function that makes and returns it, and name that"),
        ("%%ddp -n 2\ncfg['a']", "cfg['a'] (cfg was assigned in Cell In["),
        ("%%ddp -n 2\nprepared", "Call prepare() inside the %%ddp cell instead"),
    ],
)
def test_what_was_made_before_for_one_process_is_refused(notebook: Cells, cell, told):
    notebook.run("here = make(); cfg = {'a': Accelerator(cpu=True)}")
    notebook.run("prepared = cfg['a'].prepare(DataLoader(Rows(8, 1)))")

    shown = notebook.refused(cell)
    assert shown.startswith("UsageError: ")
    assert told in shown


def test_what_goes_on_from_a_checkpoint_with_overrides_and_is_stopped_brings_back_what_it_has(
    notebook: Cells, folder: Path, run: Run
):
    notebook.run("args.output_dir, args.load_best_model_at_end = 'out', False")
    cell = """
    %%ddp -n 2 -o told num_train_epochs=10000 args.seed=5
    class Mark(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            steps.append(state.global_step)
            if len(steps) == 3 and state.is_world_process_zero:  # whose steps come back
                open("begun", "w").close()
    args.eval_strategy = args.save_strategy = "no"
    steps = []
    trainer = Own(net, args, callbacks=[Mark()], **given)
    try:
        trainer.train(resume_from_checkpoint="out/checkpoint-8")
    finally:
        told = [args.num_train_epochs, args.seed, steps[0], len(steps), trainer.state.log_history]
    """
    request = notebook.kernel.start(textwrap.dedent(cell).strip())
    until((folder / "begun").exists)
    notebook.kernel.manager.interrupt_kernel()
    ended, shown = notebook.kernel.finish(request)
    *told, steps, log = notebook.value("told")

    assert ended == "error"
    assert "stopped" in shown
    assert "num_train_epochs=10000 → args.num_train_epochs" in shown
    assert told == [10000, 5, 9]
    assert steps >= 3
    earlier = [each for each in run.told["log"] if "loss" in each]
    assert [each for each in log if "loss" in each][: len(earlier)] == earlier
