"""Lightning in a rank, by name and shape only: fakes that are made as its classes are."""

from __future__ import annotations

import faulthandler
import signal
import warnings
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ddp_magic.rundir import STACKS_SIGNAL, RunDir
from ddp_magic.worker import frameworks, stdio, training
from ddp_magic.worker.frameworks import lightning, patches


def module() -> Any:
    """Return a module with fakes: ``devices`` and ``num_nodes`` do what they do in Lightning."""

    class Strategy:
        def __init__(self, devices: int, num_nodes: int) -> None:
            self.num_nodes = num_nodes
            if devices > 1:
                self.parallel_devices = ["cpu"] * devices
                self.cluster_environment = TorchElasticEnvironment()

    class TorchElasticEnvironment:
        def global_rank(self) -> int:
            raise KeyError("RANK")

        local_rank = global_rank

    class Trainer:
        def __init__(self, *, devices: Any = "auto", num_nodes: int = 1) -> None:
            if devices == "auto":
                devices = found.CPUAccelerator.auto_device_count()
            if not isinstance(devices, int):
                raise TypeError("`devices` selected with `CPUAccelerator` should be an int > 0.")
            self.strategy = Strategy(devices, num_nodes)
            self.world_size = devices * num_nodes
            self.state = SimpleNamespace(fn=None)

        def fit(self, model: str) -> str:
            self.state.fn = "fit"
            return f"fitted {model}"

        def test(self, model: str) -> str:
            return f"tested {model}"

        validate = predict = test

    class Fabric(Trainer):
        setup = setup_module = Trainer.fit

    class CPUAccelerator:
        @staticmethod
        def auto_device_count() -> int:
            return 1

    class DDPStrategy:
        def __init__(self, start_method: str = "popen") -> None:
            self.start_method = start_method

    found: Any = ModuleType("fake")
    for each in (Trainer, Fabric, CPUAccelerator, DDPStrategy, TorchElasticEnvironment):
        setattr(found, each.__name__, each)
    Trainer.__module__, Trainer.__qualname__ = "lightning.pytorch.trainer.trainer", "Trainer"
    lightning.count_workers(found)
    lightning.start_nothing(found)
    lightning.answer_alone(found)
    lightning.watch_trainer(found)
    lightning.watch_fabric(found)
    return found


@pytest.fixture(autouse=True)
def ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_every_hook_is_there_for_both_packages_of_lightning(monkeypatch: pytest.MonkeyPatch):
    hooked: dict[str, Any] = {}
    monkeypatch.setattr(frameworks, "register_post_import_hook", lambda h, m: hooked.update({m: h}))
    frameworks.attend()

    for hook in hooked.values():
        assert callable(resolve_name(hook.args[0]))
    for one, other in [
        ("lightning.pytorch.trainer.trainer", "pytorch_lightning.trainer.trainer"),
        ("lightning.fabric.fabric", "lightning_fabric.fabric"),
    ]:
        assert hooked[one] is hooked[other]


def test_an_import_does_not_fail_for_a_release_in_which_all_has_other_names(monkeypatch):
    hooked: dict[str, Any] = {}
    monkeypatch.setattr(frameworks, "register_post_import_hook", lambda h, m: hooked.update({m: h}))
    frameworks.attend()

    monkeypatch.setattr(patches, "_told", set())
    with warnings.catch_warnings(record=True, action="always") as told:
        for name, hook in hooked.items():
            hook(ModuleType(name))
    assert len(hooked) > 15
    libraries = ["accelerate", "lightning", "lightning_fabric", "pytorch_lightning", "ultralytics"]
    assert sorted(str(each.filename).strip("<>") for each in told) == libraries, "once for each"


@pytest.mark.parametrize("kind", ["Trainer", "Fabric"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ""),
        ({"devices": 2}, ""),
        ({"devices": 1, "num_nodes": 2}, ""),
        ({"devices": 4}, "is for 4 devices, and %%ddp has started 2 workers. Leave devices and"),
        ({"devices": 4}, "or start as many workers: %%ddp -n 4."),
        ({"num_nodes": 2}, "is for 2 devices on each of 2 nodes, and %%ddp has started 2 workers."),
    ],
)
def test_a_trainer_for_more_or_fewer_devices_says_so_when_it_is_made(kind, given, said):
    made = getattr(module(), kind)
    if not said:
        assert made(**given).world_size == 2
        return
    with pytest.raises(ValueError, match="Leave devices") as caught:
        made(**given)
    assert f"This {kind} {said}" in str(caught.value) or said in str(caught.value)


@pytest.mark.parametrize(("gpus", "where"), [("", "on the CPU"), ("u1,u2", "whose GPUs count")])
def test_what_lightning_itself_refuses_is_told_where_the_workers_are(gpus, where, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    with pytest.raises(TypeError) as caught:
        module().Trainer(devices=[1, 2])

    (note,) = caught.value.__notes__
    assert note.startswith(f"%%ddp has started 2 workers, {where}")
    assert "Leave accelerator, devices, num_nodes and strategy out of Trainer(...)" in note


def test_one_device_may_test_in_every_rank_and_not_train_a_model_in_each():
    found = module()
    one = found.Trainer(devices=1)

    assert one.test("it") == "tested it"
    for train in (one.fit, found.Fabric(devices=1).setup, found.Fabric(devices=1).setup_module):
        with pytest.raises(
            ValueError, match="each of the 2 workers would train a model of its own"
        ):
            train("it")


def test_in_one_worker_and_outside_of_ranks_nothing_is_refused(monkeypatch: pytest.MonkeyPatch):
    found = module()
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert found.Trainer().fit("it") == "fitted it"
    with pytest.raises(ValueError, match="has started 1 worker"):
        found.Trainer(devices=2)

    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert found.Trainer(devices=2).world_size == 2
    assert found.Trainer(devices=1).fit("it") == "fitted it"
    assert found.DDPStrategy(start_method="fork").start_method == "fork"


def test_a_strategy_for_notebooks_starts_no_process_in_a_rank():
    assert module().DDPStrategy(start_method="fork").start_method == "popen"
    assert module().DDPStrategy().start_method == "popen"


def test_alone_after_trainer_a_trainer_knows_that_it_is_rank_0_and_tests_no_more(monkeypatch):
    found = module()
    trainer = found.Trainer()
    with pytest.raises(KeyError):
        trainer.strategy.cluster_environment.global_rank()
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    environment = trainer.strategy.cluster_environment

    assert (environment.global_rank(), environment.local_rank()) == (0, 0)
    for method in (trainer.fit, trainer.test, trainer.validate, trainer.predict):
        with pytest.raises(RuntimeError, match=r"Make a Trainer\(devices=1\) for this here"):
            method("it")


def test_a_factory_that_makes_a_trainer_and_fits_nothing_is_told_to_fit():
    found = module()
    trainer = found.Trainer()
    for made in (trainer, (trainer, "model")):
        with pytest.raises(TypeError, match="has made a Trainer and fitted nothing"):
            training.start(made)
    trainer.fit("it")

    assert training.start(trainer) is trainer
    assert training.start(("no", "trainer")) == ("no", "trainer")


@pytest.fixture
def connector():
    """Lightning's: it notes how all signals are handled, sets SIGTERM, and puts all back."""

    class _SignalConnector:
        def register_signal_handlers(self) -> None:
            valid = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
            self._original_handlers = {number: signal.getsignal(number) for number in valid}
            signal.signal(signal.SIGTERM, lambda *_: None)

        def teardown(self) -> None:
            for number, handler in self._original_handlers.items():
                if handler is not None:
                    signal.signal(number, handler)

    found: Any = ModuleType("fake")
    found._SignalConnector = _SignalConnector
    before = signal.getsignal(signal.SIGTERM)
    yield found
    signal.signal(signal.SIGTERM, before)
    faulthandler.unregister(STACKS_SIGNAL)
    signal.signal(STACKS_SIGNAL, signal.SIG_DFL)
    faulthandler.enable()


@pytest.mark.parametrize("hooked", [True, False])
def test_stacks_can_be_asked_for_after_a_fit(hooked, connector, tmp_path: Path):
    """Unhooked, as in a release that has it elsewhere, there are none; but the rank lives."""
    if hooked:
        lightning.leave_signals(connector)
    run = RunDir.create(tmp_path / "run-1")
    stdio.stacks_on_signal(run, 0)
    fitting = connector._SignalConnector()
    fitting.register_signal_handlers()
    fitting.teardown()
    signal.raise_signal(STACKS_SIGNAL)

    assert ("test_lightning.py" in run.stacks(0).read_text()) == hooked


def test_sigterm_stays_the_workers_while_it_fits(connector):
    def ours(*_: object) -> None:
        pass

    lightning.leave_signals(connector)
    signal.signal(signal.SIGTERM, ours)
    fitting = connector._SignalConnector()
    fitting.register_signal_handlers()
    meanwhile = signal.getsignal(signal.SIGTERM)
    fitting.teardown()

    assert meanwhile == signal.getsignal(signal.SIGTERM) == ours


def test_another_release_without_these_names_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch):
    nothing: Any = ModuleType("fake")
    monkeypatch.setattr(patches, "_told", {"fake"})
    for hook in (lightning.start_nothing, lightning.leave_signals, lightning.answer_alone):
        hook(nothing)
    lightning.watch_trainer(nothing)
    lightning.watch_fabric(nothing)
