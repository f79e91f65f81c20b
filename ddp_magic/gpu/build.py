"""Which torch is installed, with CUDA or without; runs in the kernel, which does not import it."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

__all__ = ["torch_has_cuda", "torch_version"]


def torch_has_cuda() -> bool | None:
    """Whether the installed torch was built with CUDA; None where there is none that tells."""
    said = _said()
    return said["cuda"] is not None if "cuda" in said else None


def torch_version() -> str:
    """Return the installed torch's version, as ``2.13.0+cpu``; empty where there is none."""
    return str(_said().get("__version__", ""))


def _said() -> dict[str, Any]:
    """Return the constants of ``torch/version.py``, which the build writes."""
    if "torch" in sys.modules:
        return vars(getattr(sys.modules["torch"], "version", SimpleNamespace()))
    try:
        spec = importlib.util.find_spec("torch")
        assert spec is not None
        assert spec.origin is not None
        tree = ast.parse(Path(spec.origin).with_name("version.py").read_text(encoding="utf-8"))
    except (AssertionError, ImportError, OSError, SyntaxError, ValueError):
        return {}
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign | ast.Assign) and isinstance(node.value, ast.Constant):
            for name in node.targets if isinstance(node, ast.Assign) else [node.target]:
                found[ast.unparse(name)] = node.value.value
    return found
