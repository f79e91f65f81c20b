"""What a library set up for the kernel's process reaches no rank as it is: types known by name."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from ddp_magic import overrides
from ddp_magic.collect import pitfalls
from ddp_magic.errors import CollectError, OverrideError
from ddp_magic.options import Override
from tests.kernel_side import KernelSide, kernel
from tests.test_pitfalls import of_type

__all__ = ["kernel"]

MADE = ", which was set up in this kernel, for its one process, and would know of no other rank. "
HERE = "Make it inside the %%ddp cell."
FACTORY = (
    "Make it inside the %%ddp cell, or write a function that makes and returns it, and name that "
    "with --trainer. If the cell needs only something that it holds, bind that in a cell of its "
    "own (model = trainer.model)."
)
PREPARED = "Call prepare() inside the %%ddp cell instead, on what it was given."
SET_UP = "Call setup() inside the %%ddp cell instead, on what it was given."

TABLE = [
    ("accelerate.accelerator.Accelerator", "an Accelerator", HERE),
    ("accelerate.state.PartialState", "accelerate's PartialState", HERE),
    ("accelerate.state.AcceleratorState", "accelerate's AcceleratorState", HERE),
    ("accelerate.state.GradientState", "accelerate's GradientState", HERE),
    ("accelerate.data_loader.DataLoaderStateMixin", "a prepared DataLoader", PREPARED),
    ("accelerate.optimizer.AcceleratedOptimizer", "a prepared optimizer", PREPARED),
    ("accelerate.scheduler.AcceleratedScheduler", "a prepared scheduler", PREPARED),
    ("transformers.trainer.Trainer", "a transformers Trainer", FACTORY),
    ("lightning.pytorch.trainer.trainer.Trainer", "a Lightning Trainer", FACTORY),
    ("pytorch_lightning.trainer.trainer.Trainer", "a Lightning Trainer", FACTORY),
    ("lightning.fabric.fabric.Fabric", "a Fabric", HERE),
    ("lightning_fabric.fabric.Fabric", "a Fabric", HERE),
    ("lightning.fabric.wrappers._FabricModule", "a model of Fabric.setup()", SET_UP),
    ("lightning_fabric.wrappers._FabricOptimizer", "an optimizer of Fabric.setup()", SET_UP),
]


def refused(kernel: KernelSide, body: str) -> str:
    with pytest.raises(CollectError) as told:
        kernel.gather(body)
    return str(told.value)


@pytest.mark.parametrize(("name", "what", "remedy"), TABLE, ids=lambda value: value[:40])
def test_what_was_set_up_for_one_process_is_refused(kernel: KernelSide, name, what, remedy):
    kernel.space["it"] = of_type(name)

    assert refused(kernel, "it") == f"it is {what}{MADE}{remedy}"


@pytest.mark.parametrize(
    ("cells", "body", "where"),
    [
        ("cfg = {'acc': [make()]}", "cfg", "cfg['acc'][0] (cfg was assigned in Cell In[1])"),
        ("class Own(Kind): pass\nt = Own()", "t.train()", "t (assigned in Cell In[1])"),
        ("acc = make()\ndef helper(): return acc", "helper()", "acc (assigned in Cell In[1])"),
        ("def helper(acc=make()): pass", "helper()", "helper's default for acc"),
        ("deep = [[[[[make()]]]]]", "deep", "deep[0][0][0][0][0] (deep was assigned in"),
    ],
)
def test_it_is_found_wherever_the_cell_reaches_it(kernel: KernelSide, cells, body, where):
    made = of_type("accelerate.accelerator.Accelerator")
    kernel.space.update(Kind=type(made), make=lambda: made)
    kernel.cells(cells)

    told = refused(kernel, body)
    assert told.startswith(where)
    assert "is an Accelerator, which was set up in this kernel" in told


def test_what_no_rank_reads_for_sure_stays_behind_and_says_so_where_it_is_missed(
    kernel: KernelSide,
):
    kernel.space["acc"] = of_type("accelerate.accelerator.Accelerator")
    kernel.cells("def rarely(x):\n    if x: return acc")

    collector, _ = kernel.collector("1")
    assert "acc" not in collector.gather().names
    definitions, _ = kernel.define("rarely(0)")
    assert [n.partition(",")[0] for n in definitions.notes] == ["acc stays behind"]
    missed = kernel.rank("rarely(1)")
    assert "NameError" in missed.err
    assert "could not send it: acc is an Accelerator" in missed.err


def test_what_a_module_makes_is_made_by_its_import_in_each_rank(kernel: KernelSide):
    Path("own.py").write_text(
        "class Accelerator: pass\nAccelerator.__module__ = 'accelerate.accelerator'\n"
        "acc = Accelerator()\n"
    )
    sys.path.insert(0, "")
    try:
        kernel.cells("from own import acc")
        assert kernel.rank("type(acc).__name__").value == "Accelerator"
    finally:
        sys.path.remove("")
        sys.modules.pop("own", None)


def test_a_model_that_was_prepared_here_is_not_so_in_a_rank(kernel: KernelSide):
    """Accelerate would not wrap it in DDP: each rank would train a model of its own."""
    kernel.cells(
        "import torch",
        "class Net(torch.nn.Linear): pass",
        "own, plain = Net(1, 1), torch.nn.Linear(1, 1)",
        "own._is_accelerate_prepared = plain._is_accelerate_prepared = True; own.kept = 3",
    )
    own: torch.nn.Linear = kernel.space["own"]

    body = "[hasattr(m, '_is_accelerate_prepared') for m in (own, plain)], own.kept, own.weight"
    prepared, kept, weight = kernel.rank(body).value
    assert prepared == [False, False]
    assert kept == 3
    assert torch.equal(weight, own.weight)
    assert own._is_accelerate_prepared


def test_a_model_of_mixed_precision_travels_without_what_prepare_put_over_it(kernel: KernelSide):
    """What that is refuses to be pickled, so that the trained model would be lost."""
    kernel.cells(
        "import torch",
        "class Net(torch.nn.Linear):\n    def forward(self, x): return x * 0 + 7",
        "class Over:\n    def __reduce__(self): raise TypeError('unwrap it')",
        "def prepared(net):\n    net._original_forward, net.forward = net.forward, Over()",
        "net, other = Net(1, 1), Net(1, 1)\nother.forward = abs",
        "prepared(net)\nprepared(other)",
    )

    net, other, result = kernel.rank(
        "result = net(torch.ones(1)).item()\nprepared(net)\nprepared(other)\nnet, other, result"
    ).value
    assert result == 7
    assert vars(net).keys().isdisjoint({"forward", "_original_forward"})
    assert other.forward is abs


FAKES = {
    "accelerate.state": """
        import enum
        class DistributedType(enum.Enum):
            NO = "NO"
            MULTI_CPU = "MULTI_CPU"
        class PartialState:
            _shared_state = {}
            def __init__(self):
                self.__dict__ = self._shared_state
                self.num_processes, self.process_index, self.local_process_index = 2, 1, 1
                self.distributed_type, self.backend = DistributedType.MULTI_CPU, "gloo"
                self.device = "cpu"
    """,
    "transformers.training_args": """
        import os
        from dataclasses import dataclass
        from functools import cached_property

        @dataclass
        class TrainingArguments:
            output_dir: str = "out"
            learning_rate: float = 5e-5
            bf16: bool = False
            use_cpu: bool = True
            tf32: bool | None = None
            deepspeed: str | None = None
            def __post_init__(self):
                self.made = getattr(self, "made", 0) + 1
                self.device
            @cached_property
            def _setup_devices(self):
                self.distributed_state = int(os.environ.get("WORLD_SIZE", "1"))
                self._n_gpu = 0
                return f"cpu:{os.environ.get('LOCAL_RANK', '-')}"
            @property
            def device(self):
                return self._setup_devices
            @property
            def world_size(self):
                return self.distributed_state or 1
    """,
    "lightning.pytorch.core.datamodule": """
        class LightningDataModule:
            trainer = None
    """,
    "lightning.pytorch.callbacks.progress.progress_bar": """
        class ProgressBar:
            def __getstate__(self):
                return {**vars(self), "bar": None}
    """,
    "lightning.pytorch.callbacks.progress.rich_progress": """
        from lightning.pytorch.callbacks.progress.progress_bar import ProgressBar
        class MetricsTextColumn:
            def __init__(self, trainer): self._trainer = trainer
        class RichProgressBar(ProgressBar):
            def begin(self, trainer):
                self._trainer, self._metric_component = trainer, MetricsTextColumn(trainer)
    """,
    "lightning.pytorch.strategies.ddp": """
        import os
        class Strategy:
            def __init__(self): self.model, self._launcher = None, None
        class TorchElasticEnvironment:
            def world_size(self): return int(os.environ["WORLD_SIZE"])
        class DDPStrategy(Strategy):
            def __init__(self, devices):
                super().__init__()
                self.cluster_environment = TorchElasticEnvironment()
                self._parallel_devices, self._launcher = devices, "starts processes"
            @property
            def world_size(self): return self.cluster_environment.world_size()
            @property
            def root_device(self): return self._parallel_devices[int(os.environ["LOCAL_RANK"])]
    """,
    "lightning.pytorch.strategies.single_device": """
        import torch
        from lightning.pytorch.strategies.ddp import Strategy
        class SingleDeviceStrategy(Strategy):
            def __init__(self, device):
                super().__init__()
                self._root_device, self.world_size = torch.device(device), 1
            @property
            def root_device(self): return self._root_device
    """,
    "accelerate.data_loader": """
        class BatchSamplerShard:
            num_processes, process_index = 1, 0
    """,
}
"""As the real ones behave, as far as this is about."""


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Have modules of the real ones' names, which fresh processes find too."""
    before = {*sys.modules}
    for name, text in FAKES.items():
        path = Path(tmp_path, "fakes", *name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path / "fakes")
    yield
    for name in {*sys.modules} - before:
        if name.partition(".")[0] in ("accelerate", "lightning", "transformers"):
            del sys.modules[name]


@pytest.fixture
def arguments(kernel: KernelSide, fakes: None) -> KernelSide:
    kernel.cells("from transformers.training_args import TrainingArguments\nimport dataclasses")
    return kernel


def as_rank(kernel: KernelSide, monkeypatch: pytest.MonkeyPatch, body: str) -> Any:
    """Return a body's value in rank 1 of 2, read where there is one process."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    rank = kernel.rank(body, meanwhile=lambda: monkeypatch.delenv("WORLD_SIZE"))
    assert rank.code == 0, rank.err
    return rank.value


def test_training_arguments_know_their_rank_and_are_what_they_were(
    arguments: KernelSide, monkeypatch
):
    arguments.cells(
        "args = TrainingArguments(learning_rate=0.1)",
        "args.learning_rate, args.mine = 0.2, ['own']\ncfg = {'a': args, 'mine': args.mine}",
        "@dataclasses.dataclass\nclass Own(TrainingArguments):\n    extra: int = 1\n"
        "    def __post_init__(self): super().__post_init__(); self.extra += 1",
        "own = Own(output_dir='x')\nassert own.world_size == 1",
    )

    value = as_rank(
        arguments,
        monkeypatch,
        "[(a.world_size, a.device, a.made, type(a).__name__) for a in (args, own)],"
        "args.learning_rate, cfg['a'] is args, args.mine is cfg['mine'], own.extra,"
        "type(own) is Own",
    )

    assert value == (
        [(2, "cpu:1", 1, "TrainingArguments"), (2, "cpu:1", 1, "Own")],
        *(0.2, True, True, 2, True),
    )


def test_training_arguments_come_back_for_one_process_and_set_nothing_up(
    arguments: KernelSide, monkeypatch
):
    arguments.cells("args = TrainingArguments()")

    back = as_rank(arguments, monkeypatch, "args.learning_rate = 0.3\nargs.new = args\nargs")

    assert back.learning_rate == 0.3
    assert back.new is back
    assert back.world_size == 1
    assert back.device == torch.device("cpu"), "as told: it has not been asked"
    assert back.distributed_state is None
    assert arguments.space["args"].world_size == 1


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (
            (
                "@dataclasses.dataclass\nclass Own(TrainingArguments):\n"
                "    def __post_init__(self):\n"
                "        super().__post_init__(); self.total = 8 * self.world_size\n"
                "args = Own()"
            ),
            (
                "args (assigned in Cell In[2]) is a Own, whose __post_init__() has read "
                "world_size, which is not the same in a rank. "
            ),
        ),
        (
            "args = TrainingArguments(deepspeed='zero.json')",
            (
                "args (assigned in Cell In[2]) is a TrainingArguments with deepspeed, which has "
                "set deepspeed up in the process that made it. "
            ),
        ),
    ],
)
def test_what_was_computed_for_one_process_is_refused(arguments: KernelSide, cell, told):
    arguments.cells(cell)

    assert refused(arguments, "args.total") == told + HERE


def test_what_lightning_gives_the_next_trainer_does_not_hold_the_last_one(
    kernel: KernelSide, fakes: None
):
    kernel.cells(
        "from lightning.pytorch.core.datamodule import LightningDataModule",
        "from lightning.pytorch.callbacks.progress.progress_bar import ProgressBar",
        "class Own(LightningDataModule): pass\nclass Bar(ProgressBar): pass",
        "data, bar = Own(), Bar()\ndata.size, bar.every = 3, 4",
    )
    trainer = of_type("lightning.pytorch.trainer.trainer.Trainer")
    kernel.space["data"].trainer = kernel.space["bar"]._trainer = trainer

    assert kernel.rank("data.trainer, data.size, bar._trainer, bar.every").value == (
        *(None, 3, None, 4),
    )
    assert kernel.space["data"].trainer is trainer


def test_a_progress_bar_that_rich_has_drawn_with_travels(kernel: KernelSide, fakes: None):
    kernel.cells(
        "from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBar",
        "bar = RichProgressBar()\nbar.every = 4",
    )
    kernel.space["bar"].begin(of_type("lightning.pytorch.trainer.trainer.Trainer"))

    body = "bar._trainer, bar._metric_component, bar.every"
    assert kernel.rank(body).value == (None, None, 4)


LIGHTNING = (
    "import torch",
    "from lightning.pytorch.strategies.ddp import DDPStrategy",
    "from lightning.pytorch.strategies.single_device import SingleDeviceStrategy",
)


@pytest.mark.parametrize(("device", "back"), [("cpu", "cpu"), ("cuda:1", "cuda:0")])
def test_a_strategy_of_several_ranks_comes_back_as_one_of_one_device(
    kernel: KernelSide, fakes: None, monkeypatch: pytest.MonkeyPatch, device: str, back: str
):
    """Or all that a Lightning Trainer that comes back is told to do asks for WORLD_SIZE."""
    kernel.cells(*LIGHTNING)

    body = (
        f"SingleDeviceStrategy; s = DDPStrategy([torch.device({device!r})] * 2); s.model = [s]\n"
        "{'it': s, 'too': s}"
    )
    both = as_rank(kernel, monkeypatch, body)
    came = both["it"]
    assert type(came) is kernel.space["SingleDeviceStrategy"]
    assert vars(came) == {
        "model": [came],
        "_launcher": None,
        "_root_device": torch.device(back),
        "world_size": 1,
    }
    assert both["too"] is came


def test_a_strategy_goes_to_ranks_as_it_is(kernel: KernelSide, fakes: None):
    kernel.cells(*LIGHTNING, "strategy = DDPStrategy(['cpu'])")

    assert kernel.rank("type(strategy).__name__").value == "DDPStrategy"


def test_a_ranks_part_of_the_data_comes_back_as_all_of_it(kernel: KernelSide, fakes: None):
    kernel.cells(
        "from accelerate.data_loader import BatchSamplerShard",
        "from torch.utils.data import DistributedSampler",
    )

    part, sampler = kernel.rank(
        "part = BatchSamplerShard(); part.num_processes, part.process_index = 2, 1\n"
        "part, DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False)"
    ).value
    assert (part.num_processes, part.process_index) == (1, 0)
    assert list(sampler) == list(range(5))
    assert len(sampler) == 5


SAMPLERS = {
    "of as many": ("DistributedSampler(data, num_replicas=2, rank=0)", 2),
    "of one": ("DistributedSampler(data, num_replicas=1, rank=0)", 2),
    "in a loader": ("DataLoader(data, sampler=DistributedSampler(data, 2, 0)).sampler", 2),
    "in a loader's batches": (
        "DataLoader(data, 2, sampler=DistributedSampler(data, 2, 0)).batch_sampler.sampler",
        2,
    ),
    "with its settings": (
        "DistributedSampler(data, 2, 0, shuffle=False, seed=3, drop_last=True)",
        2,
    ),
    "of the notebook, made by torch": ("Plain(data, num_replicas=2, rank=0)", 2),
    "of another number": ("DistributedSampler(data, num_replicas=5, rank=0)", 5),
    "of the notebook, with more": ("Own(data, num_replicas=2, rank=0)", 0),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_for_one_rank_is_made_anew_for_each(
    kernel: KernelSide, monkeypatch: pytest.MonkeyPatch, name: str
):
    made, size = SAMPLERS[name]
    kernel.cells(
        "from torch.utils.data import DataLoader, DistributedSampler",
        "class Plain(DistributedSampler):\n    mine = 1",
        "class Own(DistributedSampler):\n"
        "    def __init__(self, *args, **named):\n"
        "        super().__init__(*args, **named)\n"
        "        self.first = self.rank",
        f"data = list(range(11))\nsampler = {made}\nsampler.set_epoch(7)",
    )
    monkeypatch.setenv("RANK", "1")

    body = "{n: v for n, v in vars(sampler).items() if n != 'dataset'}, list(sampler)"
    own, order = as_rank(kernel, monkeypatch, body)
    there = kernel.space["sampler"]
    if size == 2:
        told = {name: getattr(there, name) for name in ("shuffle", "seed", "drop_last")}
        expected = type(there)(there.dataset, num_replicas=2, rank=1, **told)
        expected.set_epoch(7)
    else:
        expected = there
    assert order == list(expected)
    assert own == {n: v for n, v in vars(expected).items() if n != "dataset"}


def test_the_state_of_a_rank_comes_back_as_that_of_one_process(kernel: KernelSide, fakes: None):
    """A Trainer that comes back with it would evaluate on its share of the data only."""
    kernel.cells("from accelerate.state import PartialState, DistributedType")

    back = kernel.rank("{'in': PartialState()}").value["in"]
    assert vars(back) == {
        "num_processes": 1,
        "process_index": 0,
        "local_process_index": 0,
        "distributed_type": kernel.space["DistributedType"].NO,
        "backend": None,
        "device": "cpu",
    }


def resolve(kernel: KernelSide, written: str, body: str = "fit(args)") -> overrides.Bound:
    reached = kernel.gather(body)
    target, _, text = written.partition("=")
    (bound,) = overrides.resolve(
        [Override(target=target, text=text)],
        tree=reached.tree,
        reads=reached.names,
        stores=reached.stores,
        user_ns=kernel.space,
    )
    return bound


@pytest.fixture
def fitting(arguments: KernelSide) -> KernelSide:
    arguments.cells("args = TrainingArguments()\ntoo = args\ndef fit(args): return args")
    return arguments


@pytest.mark.parametrize("written", ["learning_rate=0.05", "args.learning_rate=0.05"])
def test_a_field_is_overridden_by_its_name_or_its_path(fitting: KernelSide, monkeypatch, written):
    bound = resolve(fitting, written, "fit(args), too")

    assert bound.shown.endswith("=0.05 → args.learning_rate")
    rank = fitting.rank("args.learning_rate, fit(too).learning_rate", [bound])
    assert rank.value == (0.05, 0.05)
    assert fitting.space["args"].learning_rate == 5e-5


@pytest.mark.parametrize(
    ("written", "cell", "body", "told"),
    [
        (
            "learning_rate=0.1",
            "other = TrainingArguments()",
            "args, other",
            (
                "learning_rate could mean args.learning_rate or other.learning_rate. Write "
                "args.learning_rate=0.1 or other.learning_rate=0.1."
            ),
        ),
        (
            "learning_rate=0.1",
            "",
            "args, dict(learning_rate=1.0)",
            (
                "learning_rate could mean dict(learning_rate) in line 2 or args.learning_rate. "
                "Write dict.learning_rate=0.1 or args.learning_rate=0.1."
            ),
        ),
        (
            "args.bf16=true",
            "",
            "args",
            (
                "args.bf16 counts when a TrainingArguments is made, and args is made already. Make "
                "it in the %%ddp cell, with bf16=... in the call, and override that."
            ),
        ),
    ],
)
def test_a_field_that_is_not_clear_or_comes_too_late_is_refused(
    fitting: KernelSide, written, cell, body, told
):
    fitting.cells(cell)

    with pytest.raises(OverrideError) as error:
        resolve(fitting, written, body)
    assert str(error.value) == told


def test_arguments_and_refused_things_need_no_further_note():
    values = {
        "args": of_type("transformers.training_args.TrainingArguments", device="cuda:0"),
        "acc": of_type("accelerate.accelerator.Accelerator", device="cuda:0"),
    }

    assert pitfalls.pitfalls(values, [], [], ranks=2, gpus=True) == []
