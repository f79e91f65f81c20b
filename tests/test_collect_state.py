"""State that is no name's value goes along by its live value, and only where it is used."""

from __future__ import annotations

import pytest

from ddp_magic.collect import How
from tests.kernel_side import KernelSide, kernel

__all__ = ["kernel"]


def told(kernel: KernelSide, body: str) -> list[str]:
    definitions, _ = kernel.define(body)
    return [i.name for i in definitions.items if i.how in (How.STATE, How.CALL)]


@pytest.fixture(autouse=True)
def undone(monkeypatch: pytest.MonkeyPatch):
    """Take back what the cells of these tests do to the libraries of this process."""
    import builtins
    import json
    import warnings

    monkeypatch.setattr(json, "dumps", json.dumps)
    monkeypatch.setattr(builtins, "said", None, raising=False)
    with warnings.catch_warnings():
        yield


def test_a_patched_library_function_is_patched_in_the_worker(kernel: KernelSide):
    kernel.cells("import json\n_dumps = json.dumps\njson.dumps = lambda o: 'LOUD ' + _dumps(o)")

    assert kernel.rank("import json as j\nj.dumps([1])").value == "LOUD [1]"


def test_a_patch_that_was_undone_is_none(kernel: KernelSide):
    kernel.cells("import json\n_dumps = json.dumps\njson.dumps = len", "json.dumps = _dumps")

    assert told(kernel, "json.dumps([1])") == []


def test_an_addition_to_the_builtins_goes_along(kernel: KernelSide):
    kernel.cells("import builtins\nbuiltins.said = lambda: 'from builtins'")

    assert kernel.rank("said()").value == "from builtins"


def test_an_attribute_removed_from_a_module_is_removed_in_the_worker(kernel: KernelSide):
    (kernel_file := kernel.folder / "own_removed.py").write_text("X = 1\nY = 2\n")
    kernel.cells(
        f"import sys; sys.path.insert(0, {str(kernel_file.parent)!r})",
        "import own_removed\ndel own_removed.X\nsys.path.pop(0)",
    )
    kernel.space["sys"].path.insert(0, str(kernel_file.parent))

    assert kernel.rank("hasattr(own_removed, 'X'), own_removed.Y").value == (False, 2)
    kernel.space["sys"].path.pop(0)


def test_settings_are_made_again_and_their_arguments_go_along(kernel: KernelSide):
    kernel.cells("import numpy as np\ndigits = 2\nnp.set_printoptions(precision=digits)")

    assert kernel.rank("str(np.array([1 / 3]))").value == "[0.33]"


def test_settings_of_libraries_that_no_worker_imports_are_left_alone(kernel: KernelSide):
    kernel.cells("import numpy as np\nnp.set_printoptions(precision=2)\nn = 1")

    assert told(kernel, "n") == []


def test_a_setting_whose_argument_is_a_call_is_not_repeated(kernel: KernelSide):
    kernel.cells(
        "calls = []\ndef level():\n    calls.append(1)\n    return 1000",
        "import sys\nsys.setrecursionlimit(level())",
    )

    definitions, _ = kernel.define("1")

    assert definitions.notes == (
        "sys.setrecursionlimit(level()) in Cell In[2] is not repeated in the workers.",
    )
    assert kernel.space["calls"] == [1]


@pytest.mark.parametrize("seeded", [True, False])
def test_random_numbers_go_on_where_the_notebook_is_if_it_seeded_them(
    kernel: KernelSide,
    seeded,
):
    kernel.cells("import random", "random.seed(3)" if seeded else "pass", "x = random.random()")
    state = kernel.space["random"].getstate()
    following = kernel.space["random"].random()
    kernel.space["random"].setstate(state)

    assert (kernel.rank("random.random()").value == following) is seeded


def test_decimal_precision_goes_along(kernel: KernelSide):
    kernel.cells("from decimal import Decimal, localcontext, getcontext, setcontext")
    before = kernel.space["getcontext"]().copy()
    kernel.cells("getcontext().prec = 5")

    assert kernel.rank("str(Decimal(1) / 3)").value == "0.33333"
    kernel.space["setcontext"](before)


def test_search_path_and_arguments_are_the_notebooks(kernel: KernelSide, monkeypatch):
    package = kernel.folder / "own"
    package.mkdir()
    (package / "own_lazy.py").write_text("V = 'lazy'\n")
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setattr("sys.argv", ["prog", "--lr", "0.5"])
    kernel.cells("import sys\ndef f():\n    import own_lazy as lazy\n    return lazy.V, sys.argv")

    assert kernel.rank("f()").value == ("lazy", ["prog", "--lr", "0.5"])


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["k.py", "-f", "/run/kernel-1.json"], ["k.py"]),
        (["k.py", "--f=/run/kernel-1.json"], ["k.py"]),
        (["k.py", "-f", "/run/kernel-1.json", "--lr=1"], ["k.py", "--lr=1"]),
        (["train.py", "-f", "5"], ["train.py", "-f", "5"]),
        (["train.py"], ["train.py"]),
    ],
)
def test_the_file_by_which_front_ends_find_a_kernel_is_no_argument_of_the_program(
    kernel: KernelSide, monkeypatch, argv, expected
):
    monkeypatch.setattr("sys.argv", argv)
    kernel.cells("import sys\ndef f():\n    return sys.argv")

    assert kernel.rank("f()").value == expected


def test_a_module_that_changed_on_disk_is_told(kernel: KernelSide, monkeypatch):
    module = kernel.folder / "notebook" / "own_edited.py"
    module.write_text("def val():\n    return 'in memory'\n")
    monkeypatch.syspath_prepend(str(module.parent))
    kernel.cells("import own_edited")

    assert kernel.define("own_edited.val()")[0].notes == ()
    module.write_text("def val():\n    return 'on disk'\n")

    assert kernel.define("own_edited.val()")[0].notes == (
        (
            "own_edited has changed on disk since this notebook imported it, and the workers "
            "import the file as it is now. Reload it, or restart the kernel, to have the same here."
        ),
    )


def test_submodules_that_were_imported_elsewhere_are_imported(kernel: KernelSide):
    kernel.cells("import xml.etree.ElementTree", "import xml as x")

    assert kernel.rank("x.etree.ElementTree.fromstring('<a/>').tag").value == "a"


def test_submodules_in_which_something_was_set_are_imported(kernel: KernelSide):
    kernel.cells("import xml.dom.minidom\nxml.dom.minidom.Attr.extra = 42")

    read = "from operator import attrgetter\nattrgetter('dom.minidom.Attr.extra')(xml)"
    assert kernel.rank(read).value == 42
