"""README says what is true: its table of options is the parser's, its first screen runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ddp_magic import options

README = Path(__file__).parent.parent / "README.md"
BEGIN = "<!-- options: written by tests/test_readme.py -->\n"
END = "<!-- end of options -->"


def test_the_table_of_options_is_the_parsers():
    """Write it anew with DDP_MAGIC_WRITE_README=1."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    if os.environ.get("DDP_MAGIC_WRITE_README"):
        README.write_text(f"{before}{BEGIN}{options.markdown_table()}\n{END}{after}")
        table = options.markdown_table() + "\n"

    assert table.strip() == options.markdown_table().strip()


@pytest.mark.workers
def test_the_first_screen_runs(notebook):
    cells = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    notebook.cells(*cells[:2])
    shown = notebook.run(cells[2])

    assert shown.error is None
    assert shown.value == notebook.ns["history"][-1]
    assert type(notebook.ns["model"]).__name__ == "Linear"
