"""--trainer with trainers that take a dict: what is checked, what travels, what comes back."""

from __future__ import annotations

import ast
import sys
import threading
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ddp_magic import overrides, pickling, trainer
from ddp_magic.errors import OptionError, OverrideError
from ddp_magic.options import parse
from ddp_magic.pickling import CannotTravel, Receiver, Sender
from ddp_magic.results.trained import Trained
from ddp_magic.rundir import RunDir
from ddp_magic.worker import arguments
from ddp_magic.worker.frameworks.trainers import summary
from ddp_magic.worker.remaking import remake
from tests.fake_ultralytics import install

if TYPE_CHECKING:
    from ddp_magic.kinds.trainer import Trainer


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return install(monkeypatch)


REMADE = '__import__("ddp_magic.worker.remaking", fromlist=["remake"]).remake'


def find(notebook: dict[str, Any], name: str) -> Trainer:
    return trainer.find(name, notebook, lambda _: False)


def bind(
    notebook: dict[str, Any], line: str, body: str = "", ranks: int = 2, *, gpus: bool = False
) -> tuple[overrides.Bound, ...]:
    options = parse(line)
    found = find(notebook, options.trainer)
    bound = overrides.resolve(
        options.overrides,
        tree=ast.parse(f"{found.head}\n{body}"),
        reads=frozenset({options.trainer}),
        stores=frozenset({"trainer"}),
        user_ns=notebook,
        trainer=found.calls,
    )
    found.require_complete(bound)
    found.require_plain(options.output)
    found.check(bound, ranks, gpus)
    return bound


def made(notebook: dict[str, Any], name: str = "Mine", **settings: Any) -> Any:
    notebook["trainer"] = notebook[name](overrides=settings)
    return notebook["trainer"]


def test_the_lines_that_such_a_trainer_stands_for(notebook: dict[str, Any]) -> None:
    notebook["other"] = made(notebook)
    for name, head in [
        ("Mine", "trainer = Mine(overrides={}); trainer.train()"),
        ("Takes", "trainer = Takes(overrides={}); trainer.train()"),
        ("Needs", "trainer = Needs(overrides={}); trainer.train()"),
        ("Closed", "trainer = Closed(); trainer.train()"),
        ("part", 'trainer = part(overrides={**part.keywords["overrides"]}); trainer.train()'),
        ("trainer", f"{REMADE}(trainer, overrides={{}}); trainer.train()"),
        ("other", f"trainer = other; {REMADE}(trainer, overrides={{}}); trainer.train()"),
    ]:
        assert find(notebook, name).head == head


@pytest.mark.parametrize(
    ("line", "targets"),
    [
        ("--trainer Mine model=a.yaml epochs=1", ["Mine(model)", "Mine(epochs)"]),
        ("--trainer Mine Mine.epochs=1 cache=ram", ["Mine(epochs)", "Mine(cache)"]),
        ("--trainer Mine imgsz=[32,64] line_width=2", ["Mine(imgsz)", "Mine(line_width)"]),
        ("--trainer Mine save_dir=a augmentations=[]", ["Mine(save_dir)", "Mine(augmentations)"]),
        ("--trainer Takes width=2 depth=1", ["Takes(width)", "Takes(depth)"]),
        ("--trainer Takes alpha=2", ["Takes(alpha)"]),
        ("--trainer Needs size=2 lr0=0.5", ["Needs(size)", "Needs(lr0)"]),
        ("--trainer Closed epochs=3", ["Closed(epochs)"]),
        ("--trainer part epochs=3", ["part(epochs)"]),
        ("--trainer trainer epochs=3 batch=4", ["trainer(epochs)", "trainer(batch)"]),
        ("--trainer trainer trainer.gamma=3", ["trainer.gamma"]),
        ("--trainer Mine device=cpu", ["Mine(device)"]),
    ],
)  # fmt: skip
def test_a_setting_is_told_by_the_trainer_that_takes_it(
    notebook: dict[str, Any], line: str, targets: list[str]
) -> None:
    made(notebook)
    assert [each.target for each in bind(notebook, line)] == targets


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--trainer Mine epoch=3", "Did you mean epochs=3?"),
        ("--trainer trainer epoch=3", "Did you mean epochs=3?"),
        ("--trainer Mine nothing=3", "nothing is neither"),
        ("--trainer Mine epochs=abc", "epochs is an int (100) and abc is text"),
        ("--trainer trainer epochs=abc", "epochs is an int (9) and abc is text"),
        ("--trainer Mine line_width=abc", "line_width is declared as int"),
        ("--trainer Mine rect=3", "rect is a bool"),
        ("--trainer Mine epochs=0", "Ultralytics does not take this: 'epochs=0' is out of range."),
        ("--trainer Needs", "Needs() needs size"),
        ("--trainer Mine rect=true", "Write rect=False."),
        ("--trainer Mine batch=-1", "batch=-1 lets Ultralytics try out what fits"),
        ("--trainer Mine batch=0.7", "Write the pictures of all ranks together, as in batch=16."),
        ("--trainer Mine batch=1", "batch=1 leaves 2 ranks less than one picture each"),
        ("--trainer Mine device=0", "device=0 does not fit this run, which has workers on the CPU"),
        ("--trainer Mine device='0,1'", "Leave it out"),
        ("--trainer Mine epochs=1 -o trainer", "-o trainer: an Ultralytics trainer belongs"),
        ("--trainer trainer epochs=1 -o trainer", "write -o best"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_starts(
    notebook: dict[str, Any], line: str, told: str
) -> None:
    made(notebook, epochs=9)
    with pytest.raises((OverrideError, OptionError)) as refused:
        bind(notebook, line)
    assert told in str(refused.value).replace("`", "")


def test_a_device_on_gpus_is_all_of_the_runs(notebook: dict[str, Any]) -> None:
    for text in ("[0,1]", "'0,1'", "'cuda:0,1'", "none", "cuda", "[-1,-1]"):
        bind(notebook, f"--trainer Mine device={text}", gpus=True)
    for text in ("0", "cpu", "[2,3]", "[0,1,2]"):
        with pytest.raises(OverrideError, match="2 workers, each with a GPU of its own"):
            bind(notebook, f"--trainer Mine device={text}", gpus=True)
    bind(notebook, "--trainer Mine device=0 rect=true batch=-1", ranks=1, gpus=True)


def test_what_a_trainer_was_made_with_is_checked_too(notebook: dict[str, Any]) -> None:
    made(notebook, rect=True, device="0")  # the kernel's own device is not the ranks'
    with pytest.raises(OverrideError, match="rect=True"):
        bind(notebook, "--trainer trainer")
    bind(notebook, "--trainer trainer rect=false")


def test_settings_go_into_the_dict_of_the_heads_call_and_of_no_other(
    notebook: dict[str, Any],
) -> None:
    body = "again = Takes(overrides=cfg)"
    bound = bind(notebook, "--trainer Takes epochs=3 width=2", body)
    tree = ast.parse(f"{find(notebook, 'Takes').head}\n{body}")
    calls = [{**vars(c)} for b in bound for c in b.calls if c.inside]
    (epochs, width) = bound
    given = [{"key": "k", "name": "epochs", "calls": calls}]
    arguments.put(tree, given)  # pyright: ignore[reportArgumentType]
    written = ast.unparse(tree)
    assert "Takes(overrides={'epochs': __import__(" in written
    assert "Takes(overrides=cfg)" in written
    assert [c.inside for c in epochs.calls] == ["overrides"]
    assert [c.inside for c in width.calls] == ["", ""]


def test_a_trainer_that_cannot_be_made_anew_is_refused(notebook: dict[str, Any]) -> None:
    notebook["needs"] = notebook["Needs"](3, overrides={})
    notebook["closed"] = notebook["Closed"]()
    notebook["bare"] = notebook["Mine"].__new__(notebook["Mine"])
    for name, told in [
        ("needs", "Needs() needs size"),
        ("closed", "its class takes no overrides"),
        ("bare", "was never initialized"),
    ]:
        with pytest.raises(OptionError, match=r"Run the cell|Write a function") as refused:
            find(notebook, name)
        assert told in str(refused.value)


def sent(notebook: dict[str, Any], tmp_path: Path, value: Any) -> Any:
    """Send a value as a run does whose --trainer is `trainer`."""
    run = RunDir.create(tmp_path / "run-1")
    path = run.results / "value.pkl"
    own = {notebook[n] for n in ("Mine", "Takes")}
    named = {id(cls): cls.__name__ for cls in own}
    sender = Sender(
        main=notebook,
        definition=lambda obj: named.get(id(obj)),
        anew=find(notebook, "trainer").anew,
    )
    pickling.dump(value, path, run, sender)
    return pickling.load(path, Receiver(main=notebook, definitions=notebook))


def test_a_trainer_is_made_anew_with_what_the_user_put_on_it(
    notebook: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    old = made(notebook, epochs=9, model="a.yaml")
    old.train()  # leaves what no other process can have
    old.gamma, old.batch_size, old.seen = 7, 4, ["before"]
    old.model = torch.nn.Linear(1, 1)
    exec("def last(t): t.seen.append(trainer is t)", notebook)
    old.add_callback("on_train_start", notebook["last"])
    old.add_callback("on_train_start", old.note)
    monkeypatch.setattr(sys.modules["ultralytics.engine.trainer"], "where", ["rank"])

    new = notebook["trainer"] = sent(notebook, tmp_path, old)
    assert not hasattr(new, "device")
    assert "loaders" not in vars(new)
    remake(new, overrides={"epochs": 3})

    assert new is not old
    assert (new.device, new.args.device) == ("rank", None)
    assert (new.epochs, new.batch_size, new.gamma) == (3, 4, 7)
    assert new.save_dir == "runs/train"
    assert torch.equal(new.model.weight, old.model.weight)
    assert len(new.callbacks["on_train_end"]) == 1
    for callback in new.callbacks["on_train_start"]:
        callback(new)
    assert new.seen == ["before", "rank", "line", True, "rank"]
    assert old.seen == ["before"]


@pytest.mark.parametrize("what", ["a lock", "an open file", "a thread"])
def test_what_a_callback_holds_that_cannot_travel_is_refused(
    notebook: dict[str, Any], tmp_path: Path, what: str
) -> None:
    lock = threading.Lock()
    with open(tmp_path / "log", "w", encoding="utf-8") as file, lock:
        held = {"a lock": lock, "an open file": file, "a thread": threading.Thread()}[what]
        old = made(notebook)
        old.add_callback("on_train_end", types.MethodType(lambda held, _: None, held))
        with pytest.raises(CannotTravel) as refused:
            sent(notebook, tmp_path, old)
    assert what in str(refused.value)


def test_a_trainer_that_the_line_does_not_name_is_refused(
    notebook: dict[str, Any], tmp_path: Path
) -> None:
    old = made(notebook)
    notebook["second"] = notebook["Mine"](overrides={})
    with pytest.raises(CannotTravel, match="Name it behind --trainer, or make it in the %%ddp"):
        sent(notebook, tmp_path, [old, notebook["second"]])


def test_a_finished_training_is_told_by_its_files(notebook: dict[str, Any], tmp_path: Path) -> None:
    trained = made(notebook)
    trained.save_dir, trained.csv = tmp_path, tmp_path / "results.csv"
    trained.best, trained.last = tmp_path / "best.pt", tmp_path / "last.pt"
    trained.best.touch()
    trained.csv.write_text("  epoch,   train/loss, note\n 1,  0.5, \n 2, 1e-3, nan\n")
    trained.metrics = {"map": 0.25, "many": [1, 2], "none": None}
    told = summary(trained)
    assert told == Trained(
        metrics={"map": 0.25},
        best=str(tmp_path / "best.pt"),
        save_dir=str(tmp_path),
        rows=[{"epoch": 1, "train/loss": 0.5, "note": ""}, told.rows[1]],
    )
    assert told.rows[1]["train/loss"] == 0.001
    assert "map = 0.25" in repr(told)
    assert "rows: 2" in repr(told)
    trained.args.save, trained.fitness, trained.best_fitness = False, 0.25, 0.5
    assert summary(trained).best == "", "it is of an earlier training"
    trained.fitness = 0.5
    assert summary(trained).best == told.best
    del trained.best  # another release
    assert summary(trained) is None
    assert summary(object()) is None


def test_an_odd_table_or_number_hides_no_result(notebook: dict[str, Any], tmp_path: Path) -> None:
    trained = made(notebook)
    trained.save_dir, trained.csv = tmp_path, tmp_path / "results.csv"
    trained.best = trained.last = tmp_path / "none.pt"
    trained.csv.write_text("epoch,loss\n1,0.5,more,columns\n2\n")
    trained.metrics = {"huge": 10**400, "map": 0.25, "complex": 1j}
    assert summary(trained) == Trained(
        metrics={"map": 0.25},
        save_dir=str(tmp_path),
        rows=[{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}],
    )
    trained.csv.write_text("")
    trained.metrics = None
    assert summary(trained) == Trained(metrics={}, save_dir=str(tmp_path))


def test_a_word_of_a_notebooks_init_that_can_be_no_setting_is_passed_over(
    notebook: dict[str, Any],
) -> None:
    exec(
        "class Odd(Mine):\n"
        "    def __init__(self, cfg={1: 2, 'depth': 3}, overrides=None, _callbacks=None):\n"
        "        self.way = overrides.pop('from', None) or overrides.pop('gamma', None)\n",
        notebook,
    )
    (bound,) = bind(notebook, "--trainer Odd gamma=2")
    assert bound.target == "Odd(gamma)"


def test_a_trainer_of_lightning_is_told_likewise(tmp_path: Path) -> None:
    kind = type("Trainer", (), {"__module__": "lightning.pytorch.trainer.trainer"})
    fitted: Any = type("Mine", (kind,), {})()
    (tmp_path / "metrics.csv").write_text("epoch,loss\n0,0.5\n")
    (tmp_path / "best.ckpt").touch()
    saver = types.SimpleNamespace(best_model_path=str(tmp_path / "best.ckpt"), last_model_path="")
    fitted.checkpoint_callback, fitted.callback_metrics = saver, {"loss": 0.5}
    fitted.log_dir = fitted.default_root_dir = str(tmp_path)
    assert summary(fitted) == Trained(
        metrics={"loss": 0.5},
        best=str(tmp_path / "best.ckpt"),
        save_dir=str(tmp_path),
        rows=[{"epoch": 0, "loss": 0.5}],
    )
    fitted.log_dir = fitted.checkpoint_callback = None
    assert summary(fitted) == Trained(metrics={"loss": 0.5}, save_dir=str(tmp_path))


def test_a_model_travels_without_what_trained_it_and_trains_again(
    notebook: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("ultralytics.engine.model")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec("class Model: ...", vars(module))
    model: Any = vars(module)["Model"]()
    model.trainer, model.predictor, model.task = made(notebook), threading.Thread(), "classify"
    arrived = sent(notebook, tmp_path, model)
    assert vars(arrived) == {"trainer": None, "predictor": None, "task": "classify"}
    assert model.trainer is notebook["trainer"]
