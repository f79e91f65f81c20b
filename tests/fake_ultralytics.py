"""Modules of the names that Ultralytics has, which behave as it does where --trainer looks."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

__all__ = ["NOTEBOOK", "install"]

_DEFAULTS = {
    "model": None, "data": None, "epochs": 100, "batch": 16, "imgsz": 640, "lr0": 0.01,
    "rect": False, "cache": False, "device": None, "save_period": -1, "line_width": None,
    "resume": False, "optimizer": "auto",
}  # fmt: skip

_CFG = """
DEFAULT_CFG_DICT = dict(defaults)
CFG_INT_KEYS = frozenset({"epochs", "save_period", "line_width"})
CFG_FLOAT_KEYS = frozenset({"batch", "lr0"})
CFG_BOOL_KEYS = frozenset({"rect"})
CFG_STR_KEYS = frozenset({"optimizer"})

def get_cfg(cfg, overrides):
    if overrides.get("epochs", 1) < 1:
        raise ValueError("'\\x1b[31mepochs\\x1b[0m=0' is out of range.")
    return {**cfg, **overrides}
"""

_CALLBACKS = """
def on_train_end(trainer): ...
def get_default_callbacks():
    return {"on_train_start": [], "on_train_end": [on_train_end]}
"""

_TRAINER = """
from types import SimpleNamespace
from ultralytics.cfg import DEFAULT_CFG_DICT
from ultralytics.utils.callbacks import get_default_callbacks

DEFAULT_CFG = SimpleNamespace(**DEFAULT_CFG_DICT)
where = ["kernel"]

class BaseTrainer:
    def __init__(self, cfg=DEFAULT_CFG, overrides=None, _callbacks=None):
        self.args = SimpleNamespace(**{**vars(cfg), **overrides})
        self.device = where[0]
        self.save_dir = self.args.save_dir = overrides.get("save_dir", "runs/train")
        self.epochs, self.batch_size = self.args.epochs, self.args.batch
        self.callbacks = {k: [*v] for k, v in (_callbacks or get_default_callbacks()).items()}
        self.model = self.args.model
        self.metrics = None

    def add_callback(self, event, callback):
        self.callbacks[event].append(callback)

    def train(self):
        self.loaders = open(__file__) if "__file__" in globals() else object()
"""

NOTEBOOK = """
import functools, threading
from ultralytics.engine.trainer import BaseTrainer

class Mine(BaseTrainer):
    gamma = 1
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = []
        self.add_callback("on_train_start", self.note)
        self.add_callback("on_train_start", lambda trainer: trainer.seen.append("line"))
    def note(self, trainer):
        self.seen.append(trainer.device)

class Takes(BaseTrainer):
    def __init__(self, cfg={"epochs": 7, "depth": 3}, overrides=None, _callbacks=None, width=4):
        overrides = overrides or {}
        self.alpha = overrides.pop("alpha", 1)
        super().__init__(overrides=overrides, _callbacks=_callbacks)

class Needs(BaseTrainer):
    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)

class Closed(BaseTrainer):
    def __init__(self, epochs=2):
        super().__init__(overrides={"epochs": epochs})

part = functools.partial(Mine, overrides={"epochs": 5, "model": "a.yaml"})
"""


def install(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put the modules there, and return a notebook's namespace with classes made from them."""
    texts = {
        "ultralytics": "", "ultralytics.engine": "", "ultralytics.utils": "",
        "ultralytics.cfg": _CFG, "ultralytics.utils.callbacks": _CALLBACKS,
        "ultralytics.engine.trainer": _TRAINER,
    }  # fmt: skip
    for name, text in texts.items():
        module = types.ModuleType(name)
        vars(module)["defaults"] = _DEFAULTS
        patch.setitem(sys.modules, name, module)
        exec(text, vars(module))
    space: dict[str, Any] = {"__name__": "__main__", "SimpleNamespace": SimpleNamespace}
    exec(compile(NOTEBOOK, "<ipython-input-1>", "exec"), space)
    return space
