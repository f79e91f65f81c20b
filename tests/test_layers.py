"""Imports point one way, and loading the extension stays cheap."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ddp_magic"

SHARED = {
    "attributes", "documents", "errors", "events", "futures", "launcher", "leaving", "masking",
    "memory", "methods", "news", "pickling", "processes", "removal", "reporting", "rundir",
    "runpaths", "samples", "sourcemap", "typenames", "ultralytics_device", "wording",
}  # fmt: skip
"""Imported by several processes; import nothing but each other."""
KERNEL_ONLY = {
    "advice", "alone", "between", "channel", "handle", "obeying", "origin", "standing",
    "collect", "completion", "config", "devices", "displays", "drawing", "drift", "environment",
    "failure", "follow", "gpu", "history", "interrupts", "keeping", "kerneldir", "kinds",
    "launch", "line", "magic", "metrics", "nvml",
    "options", "outcome", "output", "overrides", "platforms", "prepare", "recorder", "run", "runs",
    "sampler", "script", "setups", "shell", "showing", "stacks", "stall", "standby", "start",
    "trainer", "usage", "versions", "views", "waits", "watchers", "wording",
}  # fmt: skip
WORKER_SIDE = ("agent", "elastic", "guard", "rendezvous", "scheduling", "worker")


def modules() -> dict[str, Path]:
    return {
        ".".join(p.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): p
        for p in sorted(PACKAGE.rglob("*.py"))
    }


@functools.cache
def imports(path: Path) -> set[str]:
    """Return what a module imports when it runs, not what it imports for types only."""
    found: set[str] = set()

    class Visitor(ast.NodeVisitor):
        def visit_If(self, node: ast.If) -> None:
            if "TYPE_CHECKING" not in ast.unparse(node.test):
                self.generic_visit(node)

        def visit_Import(self, node: ast.Import) -> None:
            found.update(a.name for a in node.names)

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            assert node.level == 0, f"{path} has a relative import"
            found.add(node.module or "")
            if node.module == "ddp_magic":
                found.update(f"ddp_magic.{a.name}" for a in node.names)

    Visitor().visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def inside(path: Path) -> set[str]:
    """Return the top-level parts of the package that a module imports."""
    ours = {m.split(".")[1] for m in imports(path) if m.startswith("ddp_magic.")}
    return {part for part in ours if (PACKAGE / part).exists() or (PACKAGE / f"{part}.py").exists()}


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_point_one_way(name):
    path = modules()[name]
    top = name.split(".")[0]
    used = inside(path)

    if top in SHARED:
        assert used <= SHARED
    elif top == "results":
        assert used <= SHARED | {"results"}
    elif top in WORKER_SIDE:
        assert not used & KERNEL_ONLY
    elif top == "views":
        assert used <= {
            "views", "events", "errors", "terminal", "screen", "sgr", "masking", "metrics",
            "runpaths", "documents", "wording",
        }  # fmt: skip
    elif top in ("options", "overrides", "devices", "terminal", "failure", "line"):
        assert not used & {"collect", "script", "launch", "follow", "run", "magic", "views"}
    elif top in ("collect", "script", "launch", "follow"):
        assert not used & {"run", "magic", "views", "shell"}
    if top in KERNEL_ONLY and top not in {"shell", "magic"}:
        assert not any(m.split(".")[0] == "IPython" for m in imports(path))


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("IPython", {"shell", "magic", "worker.display"}),
        ("anywidget", {"views.widget"}),
        ("traitlets", {"config", "views.widget"}),
        ("pynvml", {"nvml"}),
        ("pygments", {"showing.colours"}),
    ],
)
def test_a_library_has_one_importer(library, allowed):
    users = {n for n, p in modules().items() if any(m.split(".")[0] == library for m in imports(p))}

    assert users <= allowed


def test_the_guard_uses_the_standard_library_only():
    for name, path in modules().items():
        if name.startswith("guard"):
            outside = {m.split(".")[0] for m in imports(path)} - {"ddp_magic", "__future__"}
            assert outside <= set(sys.stdlib_module_names), name


def test_every_module_is_in_a_layer():
    tops = {name.split(".")[0] for name in modules()} - {"", "__init__"}

    assert tops <= SHARED | KERNEL_ONLY | set(WORKER_SIDE) | {
        "results",
        "row",
        "terminal",
        "screen",
        "sgr",
    }


def test_loading_the_extension_imports_neither_torch_nor_a_widget_library():
    code = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "ddp_magic")
heavy = {"torch", "anywidget", "ipywidgets", "pynvml", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_files_and_functions_stay_small():
    too_long = [n for n, p in modules().items() if p.read_text(encoding="utf-8").count("\n") > 250]
    large = [
        f"{name}.{node.name}"
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > 40
    ]

    assert too_long == []
    assert large == []
