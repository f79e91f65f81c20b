"""Which lines of a body have all ranks write one file; runs in the kernel.

Read from the text: an audit hook in the ranks would see every file, and doubles the time of
copy.deepcopy(); one in place of `open` would stand in the user's tracebacks. So this knows a path
that is written out, in a line that every rank is sure to run. What torch.save writes the ranks note
themselves.
"""

from __future__ import annotations

import ast
import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.certain import sure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["written_by_all"]

_METHODS = frozenset(
    {
        *("to_csv", "to_excel", "to_feather", "to_json", "to_parquet", "to_pickle"),
        *("savefig", "save_pretrained"),
    }
)
_NUMPY = frozenset({"save", "savetxt", "savez", "savez_compressed"})
_PATH = frozenset({"write_bytes", "write_text"})
_APART = frozenset({"chdir", "exit", "_exit", "quit", "is_main_process"})
"""With any of these, not all ranks may come to the line, or they may write elsewhere."""
_DEVICES = ("/dev/", "/proc/")


def written_by_all(tree: ast.Module, space: Mapping[str, Any], label: str) -> list[str]:
    """Return a sentence for each file that all ranks would write.

    Args:
        tree: The body, which runs in every rank.
        space: The notebook's namespace.
        label: The cell's name.
    """
    words = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    words |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    words |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.keyword) and n.arg}
    if words & _APART:
        return []
    found: dict[str, int] = {}
    for path, line in _written(tree, space):
        if "://" not in path and not path.startswith(_DEVICES):
            found.setdefault(path, line)
    return [
        f"All ranks write {os.path.basename(path.rstrip(os.sep)) or path} ({label}, line {line}), "
        "and may write into each other's. Let one do it, under "
        '`if int(os.environ["RANK"]) == 0:`, or bring the value back by -o and write it here.'
        for path, line in found.items()
    ]


def _written(tree: ast.Module, space: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the paths that are written for sure, each with its line."""
    own = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and type(n.ctx) is ast.Store}
    for node in sure(tree.body):
        match node:
            case ast.Call(
                func=ast.Name("open"), args=[ast.Constant(value=str(path)), *rest], keywords=named
            ) if "open" not in own and _is_builtin(space.get("open", open)):
                modes = [*rest[:1], *(k.value for k in named if k.arg == "mode")]
                if any(isinstance(m, ast.Constant) and str(m.value)[:1] in "wx" for m in modes):
                    yield path, node.lineno
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Call(args=[ast.Constant(value=str(path))], func=ast.Name("Path")),
                    attr=name,
                )
            ) if name in _PATH:
                yield path, node.lineno
            case ast.Call(
                func=ast.Attribute(value=owner, attr=name), args=[ast.Constant(value=str(path)), *_]
            ):
                numpy = isinstance(owner, ast.Name) and owner.id not in own
                numpy = numpy and _is_numpy(space.get(getattr(owner, "id", "")))
                if name in _METHODS or (numpy and name in _NUMPY):
                    yield path, node.lineno
            case _:
                pass


def _is_builtin(function: Any) -> bool:
    """Whether it is Python's open(), or what IPython wraps around it in a notebook."""
    return getattr(function, "__module__", "") in ("_io", "io")


def _is_numpy(obj: object) -> bool:
    return type(obj) is ModuleType and obj.__name__ == "numpy"
