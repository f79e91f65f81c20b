"""Whole runs of --trainer with real workers (gloo, on the CPU)."""

from __future__ import annotations

import pytest

from ddp_magic.errors import OptionError, WorkerFailed
from tests.test_run import IMPORTS, TRAINER

pytestmark = [pytest.mark.workers, pytest.mark.usefixtures("forked")]


@pytest.fixture
def trained(notebook, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    notebook.cells(IMPORTS, TRAINER)
    return notebook


def test_every_rank_trains_and_the_body_runs_in_one_of_them(trained, tmp_path) -> None:
    trained.cells(
        f"""
        from pathlib import Path
        place = Path({str(tmp_path)!r})
        class Saving(Trainer):
            def train(self):
                history = super().train()
                weights = [p.tolist() for p in self.model.parameters()]
                (place / f"rank{{dist.get_rank()}}").write_text(repr(weights))
                return history
        """
    )
    shown = trained.run(
        """
        %%ddp -n 2 --trainer Saving lr=0.05 epochs=3 -o losses,alone,model
        print("once")
        losses = len(trainer.optimizer.param_groups), trainer.optimizer.param_groups[0]["lr"]
        alone = dist.is_initialized(), "RANK" in os.environ, "WORLD_SIZE" in os.environ
        model = trainer.model
        trainer.epochs
        """
    )
    assert shown.error is None, shown.err + shown.told
    assert shown.value == 3
    assert trained.ns["losses"] == (1, 0.05)
    assert trained.ns["alone"] == (False, False, False)
    assert shown.out.count("once") == 1
    assert "rank 0 epoch 2" in shown.out
    assert type(trained.ns["model"]).__name__ == "Net"
    first, second = ((tmp_path / f"rank{rank}").read_text() for rank in (0, 1))
    assert first == second
    assert "trainer" not in trained.ns
    assert "never communicated" not in shown.out + shown.err


def test_a_line_magic_trains_and_gives_what_train_returned(trained) -> None:
    shown = trained.run(
        """
        rates = [0.05, 0.5]
        found = []
        for rate in rates:
            history = %ddp -n 2 --trainer Trainer lr={rate} epochs=2
            found.append(history)
        """
    )
    assert shown.error is None, shown.err + shown.told
    assert [len(history) for history in trained.ns["found"]] == [2, 2]
    assert trained.ns["found"][0] != trained.ns["found"][1]


@pytest.mark.parametrize(
    "line", ["dist.barrier()", "dist.init_process_group()", 'os.environ["RANK"]']
)
def test_a_collective_in_the_body_raises_at_once_and_says_why(trained, line: str) -> None:
    shown = trained.run(f"%%ddp -n 2 --trainer Trainer epochs=1\nx = 1\n{line}")
    assert isinstance(shown.error, WorkerFailed)
    assert f", line 3, in <module>\n    {line}" in shown.told
    assert "the cell's body runs in rank 0 only, after the training" in shown.told


def test_factories_partials_instances_and_plain_functions_train(trained) -> None:
    trained.cells(
        """
        import asyncio, functools
        def make(lr=0.1, epochs=1):
            return Trainer(lr, epochs)
        short = functools.partial(Trainer, epochs=1)
        def fit(scale, factor=2):
            dist.init_process_group()
            total = torch.tensor([float(dist.get_rank() + 1)])
            dist.all_reduce(total)
            return total.item() * factor * scale
        class Counter:
            def __init__(self):
                self.done = 0
            def __call__(self):
                dist.init_process_group()
                self.done += dist.get_world_size()
        counter = Counter()
        class Later:
            def __init__(self, factor):
                self.factor = factor
            async def train(self):
                await asyncio.sleep(0)
                dist.init_process_group()
                return dist.get_world_size() * self.factor
        def later(factor=2):
            return Later(factor)
        async def still_later(factor=3):
            return Later(factor)
        """
    )
    values = []
    for line, body in [
        ("--trainer make epochs=2", "trainer.epochs"),
        ("--trainer short", "trainer.epochs"),
        ("--trainer fit scale=10", "trainer"),
        ("--trainer fit scale=10 factor=1", ""),
        ("--trainer counter", "trainer.done"),
        ("--trainer later", ""),
        ("--trainer still_later factor=4", ""),
    ]:
        shown = trained.run(f"%%ddp -n 2 {line}\n{body}" if body else f"%ddp -n 2 {line}")
        assert shown.error is None, (line, shown.err + shown.told)
        values.append(shown.value)
    assert values == [2, 1, 60.0, 30.0, 2, 4, 8]
    assert trained.ns["counter"].done == 0


def test_an_error_of_the_trainer_is_told_in_lines_of_the_notebook(trained) -> None:
    trained.cells(
        """
        class Bad(Trainer):
            def train(self):
                raise ValueError("diverged")
        """
    )
    shown = trained.run("%%ddp -n 2 --trainer Bad epochs=1\nprint('never')")
    assert isinstance(shown.error, WorkerFailed)
    assert shown.error.cause == "ValueError: diverged"
    assert "trainer = Bad(); trainer.train()" in shown.told
    assert "never" not in shown.out


def test_what_cannot_be_run_is_refused_and_starts_nothing(notebook) -> None:
    notebook.cells("import os", "class Trainer:\n    def train(self): os.mkdir('x')")
    for cell, told in [
        ("%ddp -n 2", "%ddp alone runs what --trainer names"),
        ("%ddp -n 2 --trainer Trianer", "Did you mean Trainer?"),
        ("%ddp -n 2 --trainer 3", "takes a name of the notebook"),
        ("%%ddp -n 2 --trainer Trainer", "Did you mean the line magic %ddp"),
        ("%%ddp -n 2 --trainer Trainer lr=3\n1", "neither a variable"),
    ]:
        shown = notebook.run(cell)
        assert type(shown.error).__name__ == "UsageError", (cell, shown.error)
        assert told in shown.told
    assert not isinstance(shown.error, OptionError)


def test_show_has_the_lines_that_the_trainer_stands_for(notebook) -> None:
    notebook.cells("class Trainer:\n    def train(self): return 3")
    shown = notebook.run("%ddp -n 2 --trainer Trainer --show")
    assert "trainer = Trainer(); trainer.train()" in shown.out
    assert "the cell itself runs in rank 0 only" in shown.out
