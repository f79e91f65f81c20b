"""The generated files: readable, private, and true to the cells' lines."""

from __future__ import annotations

import ast
import json
import textwrap

import pytest

from ddp_magic import script
from ddp_magic.errors import PlaceError
from ddp_magic.overrides import Bound
from ddp_magic.sourcemap import SourceMap
from tests.kernel_side import KernelSide, kernel

__all__ = ["kernel"]

CALL = '__import__("ddp_magic.worker.{0}", fromlist=["{1}"]).{1}({2})'.format


def test_the_module_reads_like_a_program(kernel: KernelSide):
    kernel.cells(
        "import math\nfrom json import dumps",
        "width = 4\ncfg = {'lr': 0.1}",
        "import dataclasses\n@dataclasses.dataclass(slots=True)\nclass Args:\n    lr: float = 0.1",
        "\ndef area(r):\n    # round\n    return dumps(math.pi * r * width), cfg, Args()\n",
    )
    lr = Bound(text="width=8", target="width", value=8, kind="global", name="width")
    _, run = kernel.define("area(2)", [lr])

    assert run.main.read_text() == textwrap.dedent(f"""\
        # a test
        # Written by %%ddp. Definitions are in the notebook's own words where these are what
        # is live; take() loads everything else from values.pkl. No cell runs again.
        {CALL("values", "begin", "")}

        from json import dumps
        import math

        width = 4

        # Cell In[4]
        def area(r):
            # round
            return dumps(math.pi * r * width), cfg, Args()

        # cfg: dict, {_size(run.main.read_text(), "cfg: dict")}, Cell In[2]
        cfg = {CALL("values", "take", '"cfg"')}
        # Args: class, {_size(run.main.read_text(), "Args: class")}, Cell In[3]
        Args = {CALL("values", "take", '"Args"')}
        # override width=8 → width
        width = 8
        # state of the process
        {CALL("values", "finish", '"state of the process"')}

        if __name__ == "__main__":
            {CALL("program", "main", "")}

        # Classes that were sent by value, for reading (and for inspect.getsource):
        # Cell In[3]
        #: @dataclasses.dataclass(slots=True)
        #: class Args:
        #:     lr: float = 0.1
        """)


def _size(text: str, key: str) -> str:
    line = next(line for line in text.splitlines() if key in line)
    return line.split(", ")[1]


def test_the_map_tells_the_cells_lines(kernel: KernelSide):
    kernel.cells("x = 1\n\ndef f():\n    s = '''\n  a\n'''\n    return s\ndef g(): return f()")
    _, run = kernel.define("g()")
    source_map = SourceMap.read(run.source_map)
    lines = run.main.read_text().splitlines()

    f, g = sorted(source_map.regions, key=lambda region: region.cell_first)
    assert (f.label, f.cell_first, f.last - f.first) == ("Cell In[1]", 3, 4)
    assert (g.cell_first, lines[g.first - 1]) == (8, "def g(): return f()")
    assert source_map.texts["Cell In[2]"] == {2: "g()\n"}
    assert source_map.relabel(f'File "/tmp/x/main.py", line {f.first + 1}') == (
        'File "Cell In[1]", line 4'
    )


def test_all_files_are_private(kernel: KernelSide):
    kernel.cells("secret = ['s']")
    _, run = kernel.define("secret")
    files = [path for path in run.path.rglob("*") if path.is_file()]

    assert {"main.py", "body.py", "sourcemap.json", "program.json", "values.pkl"} <= {
        path.name for path in files
    }
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_header_cannot_leave_its_comment(kernel: KernelSide):
    kernel.cells("x = 1")
    collector, run = kernel.collector("x")
    collector.gather()
    script.write(collector.finish([]), run, header=["note: a\nimport evil", "b\u2028c"])
    statements = ast.parse(run.main.read_text()).body

    assert not any(isinstance(statement, ast.Import) for statement in statements)


def test_comments_cannot_be_left_by_type_names_or_targets(kernel: KernelSide):
    kernel.cells("x = type('a\\nimport evil\\n', (), {})()")
    _, run = kernel.define("x")

    assert not any(isinstance(s, ast.Import) for s in ast.parse(run.main.read_text()).body)


def test_a_session_with_future_features_has_them_in_the_module(kernel: KernelSide):
    kernel.cells("from __future__ import annotations", "def f(x: Later): pass")
    _, run = kernel.define("f")

    assert "\nfrom __future__ import annotations\n" in run.main.read_text()
    assert "\ndef f(x: Later): pass\n" in run.main.read_text()


def test_a_file_that_exists_is_not_followed(kernel: KernelSide):
    kernel.cells("x = 1")
    collector, run = kernel.collector("x")
    collector.gather()
    definitions = collector.finish([])
    run.main.symlink_to(run.path / "elsewhere")

    with pytest.raises(PlaceError):
        script.write(definitions, run, header=[])
    assert not (run.path / "elsewhere").exists()


def test_json_of_ours_does_not_use_a_patched_json(kernel: KernelSide, monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda *_, **__: "LOUD")
    _, run = kernel.define("1")

    assert SourceMap.read(run.source_map).module == "main.py"
