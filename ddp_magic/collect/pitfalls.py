"""What would run and quietly go wrong with several ranks; runs in the kernel.

Objects that were made in the kernel for the one process that it is, and text that puts every rank
on one GPU. Types are known by their names, so that nothing is imported to know them, and none of
the user's code runs. Each sentence is a note: it never stops a run.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections import deque
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ddp_magic.collect.definitions import Definitions
    from ddp_magic.collect.texts import Texts

__all__ = ["Place", "pitfalls", "places"]

Place: TypeAlias = tuple[str, ast.AST, "frozenset[int] | None"]
"""A cell's label, its tree, and the lines that are reached (None for all)."""

_MADE_HERE = {
    "accelerate.accelerator.Accelerator": "an Accelerator",
    "accelerate.state.AcceleratorState": "an AcceleratorState",
    "accelerate.state.PartialState": "a PartialState",
    "lightning.fabric.fabric.Fabric": "a Fabric",
    "lightning_fabric.fabric.Fabric": "a Fabric",
    "lightning.pytorch.trainer.trainer.Trainer": "a Lightning Trainer",
    "pytorch_lightning.trainer.trainer.Trainer": "a Lightning Trainer",
    "transformers.trainer.Trainer": "a transformers Trainer",
    "transformers.training_args.TrainingArguments": "a TrainingArguments",
}
_DATA_PARALLEL = "torch.nn.parallel.data_parallel.DataParallel"
_ONE_GPU = re.compile(r"cuda:\d+")
_FIXING = re.compile(r"cuda:\d|device_ids|\b(?:set_device|cuda|to)\(\d")
_COLLECTIVES = re.compile(
    r"all_gather\w*|all_reduce|all_to_all\w*|barrier|broadcast\w*|gather\w*|get_rank|reduce"
    r"|reduce_scatter\w*|get_world_size|DistributedDataParallel|DDP|fully_shard"
)
_LEVELS = 2
_WIDE = 100
"""How many items of a container are looked at."""
_MOST = 3
"""How many places a sentence names."""


def pitfalls(
    values: Mapping[str, Any],
    places: Iterable[Place],
    names: Iterable[str],
    *,
    ranks: int,
    gpus: bool,
) -> list[str]:
    """Return a sentence or two for each thing that would go wrong without an error.

    Args:
        values: What the cell reaches, by name.
        places: The text that it reaches.
        names: Names and attributes in the code that it reaches.
        ranks: Number of workers; alone, nothing of this goes wrong.
        gpus: Whether each has a GPU.
    """
    if ranks < 2:
        return []
    fixed: list[str] = []
    found: list[str] = []
    for name, value in values.items():
        for path, obj in _inside(name, value):
            if (gpu := _gpu(obj)) and gpus:
                fixed.append(f"{path} is {gpu}")
            elif said := _said(path, obj, ranks):
                found.append(said)
    for label, tree, lines in places if gpus else ():
        fixed += (
            f"{what} stands in {label}, line {line}"
            for line, what in _fixed(tree)
            if lines is None or line in lines
        )
    if fixed:
        found.append(
            f'{_joined(fixed)}, so all {ranks} ranks would use one GPU. Write "cuda", which in '
            "each rank is its own, or the number in LOCAL_RANK."
        )
    return [*found, *_group(set(names))]


def places(definitions: Definitions, texts: Texts) -> Iterator[Place]:
    """Yield the cells behind what was collected, if a GPU's number may stand in them."""
    for label, lines in sorted(definitions.texts.items()):
        filename = definitions.filenames.get(label)
        if filename and any(map(_FIXING.search, lines.values())):
            cell = texts.cell(filename)
            if cell:
                yield label, cell.tree, frozenset(lines)


def _said(path: str, obj: Any, ranks: int) -> str:
    for name in _type_names(obj):
        if name in _MADE_HERE:
            return (
                f"{path} is {_MADE_HERE[name]} that was made in this kernel, where there is one "
                "process, and it would know of no other rank. Make it inside the %%ddp cell."
            )
        if name == _DATA_PARALLEL:
            return (
                f"{path} is a DataParallel, and every rank would spread its batches over the GPUs "
                "again. Use its .module, and wrap that in DistributedDataParallel in the cell."
            )
    own = _attributes(obj)
    rank, size = own.get("rank"), own.get("num_replicas")
    if "Sampler" in type(obj).__name__ and type(rank) is int and type(size) is int:
        return (
            f"{path} was made in this kernel for rank {rank} of {size}, so all {ranks} ranks would "
            "read the same part of the data. Make it inside the %%ddp cell."
        )
    return ""


def _is_settled(obj: Any) -> bool:
    """Whether what it holds needs no word of its own."""
    names = _type_names(obj)
    return any(name in _MADE_HERE or name == _DATA_PARALLEL for name in names)


def _type_names(obj: Any) -> list[str]:
    return [f"{kind.__module__}.{kind.__qualname__}" for kind in type(obj).__mro__]


def _gpu(obj: Any) -> str:
    """Return the one GPU that a string or a `torch.device` names, or an empty text."""
    if type(obj) is str:
        return obj if _ONE_GPU.fullmatch(obj) else ""
    kind = type(obj)
    if kind.__module__ == "torch" and kind.__name__ == "device":
        return str(obj) if obj.type == "cuda" and obj.index is not None else ""
    return ""


def _inside(name: str, root: Any) -> Iterator[tuple[str, Any]]:
    """Yield an object and what it holds, two levels deep, each with its path."""
    waiting = deque([(name, root, 0)])
    seen = {id(root)}
    while waiting:
        path, obj, level = waiting.popleft()
        yield path, obj
        if level == _LEVELS or _is_settled(obj):
            continue
        for step, child in _children(obj):
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append((path + step, child, level + 1))


def _children(obj: Any) -> Iterator[tuple[str, Any]]:
    if issubclass(type(obj), dict):
        items = itertools.islice(dict.items(obj), _WIDE)
        yield from ((f"[{key!r}]", value) for key, value in items if type(key) is str)
    elif type(obj) in (list, tuple):
        # a list of the GPUs' names is there to choose from
        listed = enumerate(obj[:_WIDE])
        yield from ((f"[{index}]", item) for index, item in listed if not _gpu(item))
    yield from ((f".{name}", v) for name, v in _attributes(obj).items() if name[:1] != "_")


def _attributes(obj: Any) -> dict[str, Any]:
    if issubclass(type(obj), (type, FunctionType, ModuleType)):
        return {}
    try:
        own: Any = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return {}
    return {n: v for n, v in list(own.items()) if type(n) is str} if type(own) is dict else {}


def _fixed(tree: ast.AST) -> list[tuple[int, str]]:
    """Return line and text of what names a GPU by its number, if every rank comes by."""
    found: list[tuple[int, str]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        found += _fixed_here(node)
        waiting += _passed_by_all(node)
    return sorted(found)


def _fixed_here(node: ast.AST) -> Iterator[tuple[int, str]]:
    match node:
        case ast.Constant(value=str(text)) if _ONE_GPU.fullmatch(text):
            yield node.lineno, f'"{text}"'
        case ast.Call(func=ast.Attribute(attr="set_device" | "cuda" | "to" as name)):
            match node.args:
                case [ast.Constant(value=int(number)), *_] if type(number) is int:
                    yield node.lineno, f"{name}({number})"
                case _:
                    pass
        case ast.keyword(arg="device_ids", value=ast.List(elts=[ast.Constant(value=int(number))])):
            yield node.value.lineno, f"device_ids=[{number}]"
        case _:
            pass


def _passed_by_all(node: ast.AST) -> Iterable[ast.AST]:
    """Return the parts of a node, without what only some rank does, keys and comparisons."""
    match node:
        case ast.Compare():
            return ()
        case ast.Dict(values=values):
            return values  # map_location={"cuda:0": f"cuda:{rank}"}
        case ast.If(test=test) | ast.IfExp(test=test) if "rank" in ast.unparse(test).lower():
            return ()
        case _:
            return ast.iter_child_nodes(node)


def _group(names: set[str]) -> list[str]:
    """Tell that the kernel's own process group is missed, if the cell uses it and makes none."""
    dist: Any = sys.modules.get("torch.distributed")
    if "init_process_group" in names or not any(map(_COLLECTIVES.fullmatch, names)):
        return []
    if dist is None or not dist.is_available() or not dist.is_initialized():
        return []
    made = "This kernel has made a process group, which no worker is in."
    return [f"{made} Call torch.distributed.init_process_group() inside the %%ddp cell too."]


def _joined(items: list[str]) -> str:
    """Join the first few: ``a, b and c``; ``a, b, c and 2 more``."""
    items = list(dict.fromkeys(items))
    shown = items[:_MOST]
    if len(items) > _MOST:
        shown.append(f"{len(items) - _MOST} more")
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
