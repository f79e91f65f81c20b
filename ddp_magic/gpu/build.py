"""Whether the installed torch can use CUDA; runs in the kernel, which does not import torch."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

__all__ = ["torch_has_cuda"]


def torch_has_cuda() -> bool | None:
    """Whether the installed torch was built with CUDA, without importing it.

    Reads ``torch.version.cuda``, from the file ``torch/version.py`` that the build writes where
    torch is not imported yet.

    Returns:
        None where there is no torch, or none that tells.
    """
    if "torch" in sys.modules:
        version = getattr(sys.modules["torch"], "version", None)
        return getattr(version, "cuda", None) is not None if version is not None else None
    try:
        spec = importlib.util.find_spec("torch")
        assert spec is not None
        assert spec.origin is not None
        tree = ast.parse(Path(spec.origin).with_name("version.py").read_text(encoding="utf-8"))
    except (AssertionError, ImportError, OSError, SyntaxError, ValueError):
        return None
    for node in tree.body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(isinstance(target, ast.Name) and target.id == "cuda" for target in targets):
            value = getattr(node, "value", None)
            return isinstance(value, ast.Constant) and value.value is not None
    return None
