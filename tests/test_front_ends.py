"""Which view a request gets, by what its front-end says of itself."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from ddp_magic.shell import Shell

UUID = "1e9aac6b-cee9-4786-813b-df30c0debc38"
CODE = "vscode-notebook-cell"


@dataclass(frozen=True)
class Case:
    """A request; its metadata are None where no kernel is there."""

    expected: str
    metadata: dict[str, Any] | None = field(default_factory=dict[str, Any])
    space: dict[str, Any] = field(default_factory=dict[str, Any])
    environment: dict[str, str] = field(default_factory=dict[str, str])
    colab: bool = False
    attended: bool = True


VSC = {"__vsc_ipynb_file__": "/home/user/a.ipynb"}
CASES = {
    "JupyterLab and Notebook 7": Case(
        "widget", {"deletedCells": [], "recordTiming": False, "cellId": UUID}
    ),
    "an id as nbformat makes them": Case("widget", {"cellId": "b6e1_f-0"}),
    "JupyterLab, in a kernel that VS Code has used": Case("widget", {"cellId": UUID}, VSC),
    "VS Code": Case("html", {"cellId": f"{CODE}:/home/u/a.ipynb#W0sZmlsZQ%3D%3D"}, VSC),
    "VS Code on another machine": Case(
        "html", {"cellId": f"{CODE}://ssh-remote%2Bhost/home/u/a.ipynb#X10sdnNjb2Rl"}
    ),
    "VS Code on Windows": Case("html", {"cellId": f"{CODE}:/c%3A/u/a.ipynb#W1sZmlsZQ%3D%3D"}),
    "its interactive window": Case("html", {"cellId": f"{CODE}:Interactive-1.interactive#W3s"}),
    "VS Code, which once named no cell": Case("html", {}, VSC),
    "an editor that gives another address": Case("html", {"cellId": "notebook:/a.ipynb#3"}),
    "a cell's name that is no text": Case("html", {"cellId": 7}),
    "Colab": Case("html", colab=True),
    "VS Code, in a kernel of Colab": Case("html", {"cellId": f"{CODE}:/a.ipynb#W0"}, colab=True),
    "nbclient, papermill, jupyter execute": Case("plain", attended=False),
    "a cell's name that is empty": Case("plain", {"cellId": ""}, attended=False),
    "Kaggle's batch": Case(
        "plain", {"cellId": UUID}, environment={"KAGGLE_KERNEL_RUN_TYPE": "Batch"}, attended=False
    ),
    "Kaggle's editor": Case(
        "widget", {"cellId": UUID}, environment={"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}
    ),
    "IPython in a terminal": Case("plain", None),
    "what the user wants": Case("plain", {"cellId": UUID}, environment={"DDP_MAGIC_UI": "plain"}),
    "a panel that the user wants in VS Code": Case(
        "widget", {"cellId": f"{CODE}:/a"}, VSC, {"DDP_MAGIC_UI": "widget"}
    ),
    "a wish that is none": Case("widget", {"cellId": UUID}, environment={"DDP_MAGIC_UI": "rich"}),
}


@pytest.fixture
def asked(notebook, monkeypatch):
    """Ask a shell for the view of a request."""
    shell = Shell(notebook.shell)
    monkeypatch.delenv("DDP_MAGIC_UI", raising=False)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)

    def ask(case: Case) -> Shell:
        kernel = SimpleNamespace(get_parent=lambda: {"metadata": case.metadata})
        monkeypatch.setattr(
            notebook.shell, "kernel", kernel if case.metadata is not None else None, raising=False
        )
        for name, value in case.environment.items():
            monkeypatch.setenv(name, value)
        notebook.ns.update(case.space)
        if case.colab:
            monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
        return shell

    yield ask
    shell.close()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_front_end_gets_the_view_that_it_can_show(asked, case: Case):
    shell = asked(case)

    assert shell.ui == case.expected
    assert shell.attended is case.attended


def test_two_front_ends_of_one_kernel_get_a_view_each(asked):
    assert asked(CASES["VS Code"]).ui == "html"
    assert asked(CASES["JupyterLab and Notebook 7"]).ui == "widget"
    assert asked(Case("plain")).ui == "html", "VS Code has left its mark and names no cell"


@pytest.mark.parametrize("request_", [{}, None])
def test_a_kernel_without_a_request_is_no_page(notebook, monkeypatch, request_):
    kernel = SimpleNamespace(get_parent=lambda: request_)
    monkeypatch.setattr(notebook.shell, "kernel", kernel, raising=False)
    shell = Shell(notebook.shell)

    assert shell.ui == "plain"
    shell.close()
