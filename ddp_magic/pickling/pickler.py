"""The pickler and the unpickler; run in the kernel and in every worker, both directions.

A pickle refers to what both sides have by persistent ids:

=============  =====================================================
``namespace``  the dict of the notebook's or the rank's ``__main__``
``module``     the ``__main__`` module
``library``    the dict of a module that both sides import; of `builtins`
``def``        a definition that the receiver has by source, by name
``made``       an object that the receiver has made itself, by name or path
``itself``     a dict or set that `keyed` fills
``part``       memory that an array or tensor looks at, by number
``storage``    a torch storage
``buffer``     what a library hands out as `pickle.PickleBuffer`
``device``     where the receiver has what is here on a device
=============  =====================================================
"""

from __future__ import annotations

import importlib
import pickle
import sys
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import cloudpickle

from ddp_magic.pickling import (
    arrays,
    classes,
    functions,
    instances,
    keyed,
    objects,
    one_process,
    per_rank,
    rebuild,
    refusals,
    tensors,
)
from ddp_magic.pickling.parts import Ref

if TYPE_CHECKING:
    from typing import BinaryIO

    from ddp_magic.pickling.loans import Loan
    from ddp_magic.pickling.parts import Parts
    from ddp_magic.pickling.sides import Draft, Receiver, Sender

__all__ = ["Pickler", "Unpickler"]

_IMPORTED = frozenset({type, FunctionType, BuiltinFunctionType, ModuleType})
"""Types of what is mostly imported where it is read."""


class Pickler(cloudpickle.Pickler):
    """Writes what a notebook holds, with one namespace, shared cells and files for buffers.

    Attributes:
        last: The object that was looked at last: the culprit where pickling has failed.
        parts: What the value that is being written needs of the memory around it.
    """

    parts: Parts

    def __init__(self, file: BinaryIO | Draft, sender: Sender) -> None:
        super().__init__(file, protocol=5)
        self.sender = sender
        self.last: Any = None
        self.begin()
        self.submodules = functions.Submodules()
        self._plans: dict[type, instances.Plan] = {}
        self.globals_ref = sender.foreign
        self.globals_ref[id(sender.main)] = functions.NAMESPACE

    def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
        """Name what the receiver has or maps (the hook of `pickle`)."""
        if id(obj) in self.sender.made:
            return "made", self._place(obj)
        if id(obj) in self.sender.imported:
            return "made", self.sender.imported[id(obj)]()
        kind = type(obj)
        if kind is dict:
            if obj is functions.NAMESPACE or obj is self.sender.main:
                return ("namespace",)
            return self._library(obj) or self._held(obj)
        if kind is set:
            return self._held(obj)
        if kind is Ref:
            return ("device", obj.device) if obj.device else ("part", obj.number)
        if kind is FunctionType or issubclass(kind, type):
            name = self.sender.definition(obj)
            return None if name is None else ("def", name)
        if obj is sys.modules.get("__main__"):
            return ("module",)
        if kind.__name__ in tensors.STORAGES:
            return tensors.storage_ref(obj, self.parts)
        if kind is pickle.PickleBuffer:
            return arrays.buffer_ref(obj, self.parts)
        return None

    def _library(self, namespace: dict[str, Any]) -> tuple[Any, ...] | None:
        name = functions.library(namespace)
        if name is None:
            return None
        self.sender.packages.add(name.partition(".")[0])
        return "library", name

    def _held(self, container: Any) -> tuple[Any, ...] | None:
        holder = self.sender.holders.holder(container)
        return None if holder is None else ("itself", holder)

    def _place(self, obj: Any) -> str:
        place = self.sender.made[id(obj)]
        if not place:
            what = "made by the setup cell that reads it"
            raise refusals.CannotTravel(what, "Make both in that cell", obj)
        return place

    def reducer_override(self, obj: Any) -> Any:
        """Say how an object is written, before cloudpickle says (the hook of `pickle`)."""
        self.last = obj
        kind = type(obj)
        if id(obj) in self.sender.anew:
            return instances.blank(obj, self.sender.anew[id(obj)])
        if kind not in self.sender.harmless:
            if refusals.may_be_refused(kind):
                refusals.check(obj)
            elif not self.sender.to_kernel and one_process.may_be_refused(kind):
                one_process.check(obj)
            else:
                self.sender.harmless.add(kind)
            self.sender.packages.add(kind.__module__.partition(".")[0])
        if kind in _IMPORTED:
            self._note_package(obj)
        reduced = self._reduce(obj, kind)
        return super().reducer_override(obj) if reduced is None else reduced

    def _note_package(self, obj: Any) -> None:
        """Remember whose function, class or module it is: cells may have changed that package."""
        is_module = type(obj) is ModuleType
        name = getattr(obj, "__name__" if is_module else "__module__", None)
        if isinstance(name, str):
            self.sender.packages.add(name.partition(".")[0])
            if is_module:
                self.sender.modules.add(name)

    def _reduce(self, obj: Any, kind: type) -> Any:
        if isinstance(obj, type):
            return classes.reduce(obj, self.sender.by_value)
        if kind is CodeType:
            return functions.reduce_code(obj, self.sender.filename)
        if kind is CellType:
            return functions.reduce_cell(obj)
        return (
            objects.reduce(obj, kind)
            or arrays.reduce(obj, self.parts)
            or tensors.reduce(obj, self.parts)
            or self._plan(kind)(obj)
        )

    def _plan(self, kind: type) -> instances.Plan:
        if kind not in self._plans:
            usual = instances.plan(kind)
            self._plans[kind] = per_rank.plan(kind, usual, to_kernel=self.sender.to_kernel)
        return self._plans[kind]

    def _dynamic_function_reduce(self, func: Any) -> Any:
        """Replace cloudpickle's way with functions (its Pickler calls this method)."""
        owner, _, name = func.__qualname__.rpartition(".")
        cls = self.sender.main.get(owner)
        if isinstance(cls, type) and self.sender.definition(cls):
            way = functions.in_class(func, vars(cls).get(name))
            if way is not None:
                return rebuild.of_class, (cls, name, way)
        self.sender.by_value(func)
        namespace = func.__globals__
        if functions.library(namespace) is None:
            namespace = self._function_getnewargs(func)[1]
        return functions.reduce(func, namespace, self.submodules)

    def begin(self) -> None:
        """Begin another draft: what was needed so far is that of the one before."""
        assert self.sender.blobs is not None
        self.parts = self.sender.blobs.draft()


class Unpickler(pickle.Unpickler):
    """Reads what `Pickler` wrote; one for all segments that share a memo."""

    def __init__(self, file: BinaryIO, receiver: Receiver) -> None:
        super().__init__(file)
        self._receiver = receiver

    def load(self) -> Any:
        """Read the next value."""
        value = super().load()
        keyed.finish()
        return value

    def persistent_load(self, pid: Any) -> Any:
        """Give what the pickle refers to by name (the hook of `pickle`)."""
        receiver = self._receiver
        match pid:
            case ("namespace",):
                return receiver.main
            case ("library", name):
                return vars(importlib.import_module(name))
            case ("module",):
                return sys.modules[receiver.main["__name__"]]
            case ("made", expression):
                return eval(expression, receiver.main)
            case ("def", name):
                return receiver.definitions[name]
            case ("itself", value):
                return value
            case ("part", number):
                return self._loan(number)
            case ("storage", number, nbytes, dtype):
                loan = None if number is None else self._loan(number)
                return tensors.storage(loan, nbytes, dtype)
            case ("buffer", number, readonly, nbytes):
                return arrays.buffer(self._loan(number), nbytes, readonly=readonly)
            case ("device", name):
                return tensors.home(name, devices=receiver.devices)
            case _:
                raise pickle.UnpicklingError(f"unknown reference {pid!r}")

    def _loan(self, number: int) -> Loan:
        assert self._receiver.blobs is not None
        return self._receiver.blobs.loan(number, devices=self._receiver.devices)
