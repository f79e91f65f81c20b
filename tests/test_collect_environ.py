"""Which environment variables a cell sets."""

from __future__ import annotations

import pytest

from ddp_magic.collect.environ import variables_set

ANY = "environment variables"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("os.environ['HF_HUB_OFFLINE'] = '1'", {"HF_HUB_OFFLINE"}),
        ("environ['A'] = str(1)", {"A"}),
        ("def f():\n    os.environ['A'] = '1'", {"A"}),
        ("class C:\n    def f(self):\n        os.environ['A'] = self.a", {"A"}),
        ("os.environ.setdefault('A', '1')", {"A"}),
        ("os.environ.pop('A', None)", {"A"}),
        ("del os.environ['A']", {"A"}),
        ("os.putenv('A', '1')", {"A"}),
        ("for k, v in d.items():\n    os.environ[k] = v", {ANY}),
        ("os.environ.update(A='1')", {ANY}),
        ("os.environ |= {'A': '1'}", {ANY}),
        ("os.environ['A'] = '1'\nos.environ['B'] = '2'", {"A", "B"}),
        ("os.environ['NCCL_DEBUG'] = 'INFO'", {"NCCL_DEBUG"}),
        ("def seed(n):\n    os.environ['PYTHONHASHSEED'] = str(n)", {"PYTHONHASHSEED"}),
        ("ranks['x'] = os.environ['RANK']", set()),
        ("ranks[os.environ['RANK']] = 1", set()),
        ("print(os.environ.get('A', '1'), 'A' in os.environ)", set()),
        ("from os import environ, putenv\nenviron", set()),
    ],
)
def test_what_a_cell_sets_is_found_and_what_it_reads_is_not(text, found):
    assert variables_set([compile(text, "<cell>", "exec")]) == found
