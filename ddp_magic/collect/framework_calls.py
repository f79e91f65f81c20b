"""Which functions of the notebook a trainer's library is sure to call; runs in the kernel.

The cell only passes them on: a callback's hooks, a LightningModule's steps. Sure are those that
every training runs, where the cell is sure to train. Types are known by their names.
"""

from __future__ import annotations

import ast
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ddp_magic.typenames import type_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddp_magic.line.callees import Callees

__all__ = ["FrameworkCalls"]

_BATCHES = ("on_train_start", "on_train_batch_start", "on_train_batch_end", "on_train_end")
_EPOCHS = ("on_train_epoch_start", "on_train_epoch_end")
_LIGHTNING = {
    "callbacks.callback.Callback": ("setup", "on_fit_start", *_BATCHES, *_EPOCHS, "on_fit_end"),
    "core.module.LightningModule": (
        *("setup", "configure_optimizers", "training_step", "on_fit_start"),
        *(*_BATCHES, *_EPOCHS),
    ),
}
_HOOKS: dict[str, tuple[str, ...]] = {
    **{f"lightning.pytorch.{name}": hooks for name, hooks in _LIGHTNING.items()},
    **{f"pytorch_lightning.{name}": hooks for name, hooks in _LIGHTNING.items()},
    "transformers.trainer_callback.TrainerCallback": (
        *("on_init_end", "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end"),
        *("on_step_begin", "on_step_end"),
    ),
}
"""What is called in every training, by the class that a library knows it of."""
_YOLO = "ultralytics.engine.model.Model"
_MODULE = "torch.nn.modules.module.Module"
_EVENTS = frozenset(
    {
        *("on_pretrain_routine_start", "on_pretrain_routine_end", "optimizer_step"),
        *("on_before_zero_grad", "on_fit_epoch_end", *_BATCHES[:3], *_EPOCHS),
    }
)
"""Of Ultralytics, in all ranks."""


class FrameworkCalls:
    """Collects them from the calls that a body is sure to make.

    Attributes:
        trains: Whether one of these trains.
        functions: What is called if so.
    """

    def __init__(self) -> None:
        self.trains = False
        self.functions: list[FunctionType] = []

    def see(self, call: ast.Call, callees: Callees) -> None:
        """Take a call in."""
        match call:
            case ast.Call(func=ast.Attribute(value=ast.Call(ast.Name("__import__")), attr="start")):
                self.trains = True  # what a factory of --trainer has made: lines.started
            case ast.Call(func=ast.Attribute(value=made, attr="train")) if _is_module(
                made, callees
            ):
                pass  # it is the module's mode
            case ast.Call(func=ast.Attribute(value=made, attr="fit" | "train")):
                self.trains = True
                self.functions += _events(callees.found(made))
                for passed in call.args[:1]:
                    self.functions += _hooks(_kind(passed, callees))
            case ast.Call(
                func=ast.Attribute(attr="add_callback"), args=[ast.Constant(value=event), function]
            ) if event in _EVENTS:
                self.functions += _function(callees.found(function))
            case ast.Call(func=ast.Attribute(attr="add_callback"), args=[callback]):
                self.functions += _hooks(_kind(callback, callees))
            case _:
                pass
        for keyword in call.keywords:
            if keyword.arg == "callbacks":
                for kind in _kinds(keyword.value, callees):
                    self.functions += _hooks(kind)


def _kinds(node: ast.expr, callees: Callees) -> Iterator[type | None]:
    """Yield the classes of what a list holds, of which some may be classes themselves."""
    if isinstance(node, (ast.List, ast.Tuple)):
        yield from (_kind(each, callees) for each in node.elts)
        return
    live = callees.found(node)
    if type(live) in (list, tuple):
        held: Any = live
        yield from (each if isinstance(each, type) else type(each) for each in held)
    yield _kind(node, callees)


def _kind(node: ast.expr, callees: Callees) -> type | None:
    live = callees.found(node)
    return live if isinstance(live, type) else callees.kind(node)


def _is_module(node: ast.expr, callees: Callees) -> bool:
    names = type_names(_kind(node, callees) or object)
    return _MODULE in names and _YOLO not in names


def _hooks(kind: type | None) -> Iterator[FunctionType]:
    if kind is None:
        return
    names = dict.fromkeys(h for name in type_names(kind) for h in _HOOKS.get(name, ()))
    for name in names:
        yield from _function(next((vars(k)[name] for k in kind.__mro__ if name in vars(k)), None))


def _events(model: Any) -> Iterator[FunctionType]:
    """Yield what was added to a YOLO in the notebook."""
    if _YOLO not in type_names(type(model)):
        return
    added: Any = vars(model).get("callbacks")
    for event in sorted(_EVENTS & added.keys()) if isinstance(added, dict) else ():
        for function in added[event]:
            yield from _function(function)


def _function(found: object) -> Iterator[FunctionType]:
    if isinstance(found, FunctionType):
        yield found
