"""What would run and quietly go wrong with several ranks; runs in the kernel.

Objects that were made in the kernel for the one process that it is, and text that puts every rank
on one GPU. Types are known by their names, so that nothing is imported to know them, and none of
the user's code runs. Each sentence is a note: it never stops a run. What must stop it, since each
rank would train alone, `pickling.one_process` refuses.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections import deque
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.attributes import own_dict
from ddp_magic.collect.one_file import written_by_all
from ddp_magic.collect.one_gpu import lines_naming_one, named_one, places
from ddp_magic.pickling.one_process import may_be_refused
from ddp_magic.pickling.per_rank import ARGUMENTS
from ddp_magic.pickling.samplers import is_remade
from ddp_magic.typenames import type_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ddp_magic.collect.cells import Cells
    from ddp_magic.collect.definitions import Definitions, Reached
    from ddp_magic.collect.one_gpu import Place

__all__ = ["look", "pitfalls"]

_DATA_PARALLEL = "torch.nn.parallel.data_parallel.DataParallel"
_COLLECTIVES = re.compile(
    r"all_gather\w*|all_reduce|all_to_all\w*|barrier|broadcast\w*|gather\w*|get_rank|reduce"
    r"|reduce_scatter\w*|get_world_size|DistributedDataParallel|DDP|fully_shard"
)
_WORD = re.compile(r"\w+")
_LEVELS = 2
_WIDE = 100
"""How many items of a container are looked at."""
_MOST = 3
"""How many places a sentence names."""


def pitfalls(
    values: Mapping[str, Any],
    found_in: Iterable[Place],
    names: Iterable[str],
    *,
    ranks: int,
    gpus: bool,
) -> list[str]:
    """Return a sentence or two for each thing that would go wrong without an error.

    Args:
        values: What the cell reaches, by name.
        found_in: The text that it reaches.
        names: The words in that text.
        ranks: Number of workers; alone, nothing of this goes wrong.
        gpus: Whether each has a GPU.
    """
    if ranks < 2:
        return []
    fixed: list[str] = []
    found: list[str] = []
    for name, value in values.items():
        for path, obj in _inside(name, value):
            if (gpu := named_one(obj)) and gpus:
                fixed.append(f"{path} is {gpu}")
            elif said := _said(path, obj, ranks):
                found.append(said)
    for place in found_in if gpus else ():
        fixed += lines_naming_one(place)
    if fixed:
        found.append(
            f'{_joined(fixed)}, so all {ranks} ranks would use one GPU. Write "cuda", which in '
            "each rank is its own, or the number in LOCAL_RANK."
        )
    return [*found, *_group(set(names))]


def look(
    definitions: Definitions,
    reached: Reached,
    space: Mapping[str, Any],
    cells: Cells,
    *,
    ranks: int,
    gpus: bool,
) -> list[str]:
    """Return the `pitfalls` of what was collected.

    Args:
        definitions: What was collected.
        reached: The body, and the names that it reaches.
        space: The notebook's namespace.
        cells: What ran in it.
        ranks: Number of workers.
        gpus: Whether each has a GPU.
    """
    values = {name: space[name] for name in sorted(reached.names) if name in space}
    values |= {bound.target: bound.value for bound in definitions.overrides}
    own = (definitions.cell.label, reached.tree, None)
    lines = [line for numbered in definitions.texts.values() for line in numbered.values()]
    names = _WORD.findall("".join(lines))
    found_in = [own, *places(definitions, cells)]
    found = pitfalls(values, found_in, names, ranks=ranks, gpus=gpus)
    if ranks > 1 and not definitions.cell.head:  # below --trainer's, rank 0 is alone
        found += written_by_all(reached.tree, space, definitions.cell.label)
    return found


def _said(path: str, obj: Any, ranks: int) -> str:
    if _DATA_PARALLEL in type_names(type(obj)):
        return (
            f"{path} is a DataParallel, and every rank would spread its batches over the GPUs "
            "again. Use its .module, and wrap that in DistributedDataParallel in the cell."
        )
    own = _attributes(obj)
    rank, size = own.get("rank"), own.get("num_replicas")
    if "Sampler" in type(obj).__name__ and type(rank) is int and type(size) is int:
        if is_remade(obj, ranks):
            return (
                f"{path} was made in this kernel; each rank gets it for its own part of the data."
            )
        return (
            f"{path} was made in this kernel for rank {rank} of {size}, so all {ranks} ranks would "
            "read the same part of the data. Make it inside the %%ddp cell."
        )
    return ""


def _is_settled(obj: Any) -> bool:
    """Whether what it holds needs no word of its own."""
    kind = type(obj)
    names = type_names(kind)
    return _DATA_PARALLEL in names or ARGUMENTS in names or may_be_refused(kind)


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
        yield from ((f"[{index}]", item) for index, item in listed if not named_one(item))
    yield from ((f".{name}", v) for name, v in _attributes(obj).items() if name[:1] != "_")


def _attributes(obj: Any) -> dict[str, Any]:
    if issubclass(type(obj), (type, FunctionType, ModuleType)):
        return {}
    try:
        own: Any = own_dict(obj)
    except AttributeError:
        return {}
    return {n: v for n, v in list(own.items()) if type(n) is str} if type(own) is dict else {}


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
