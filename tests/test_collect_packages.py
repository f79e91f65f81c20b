"""Which packages' state matters to the workers."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest

from ddp_magic.collect import packages


class Touchy:
    """As torch.distributed.reduce_op, which warns whenever anything is asked of it."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(name)


def test_what_a_library_holds_is_not_asked_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModuleType("touchy_library")
    vars(library).update(thing=Touchy(), json=json)
    monkeypatch.setitem(sys.modules, "touchy_library", library)

    assert packages.is_used("json", frozenset({"touchy_library"}), len(sys.modules))
    assert not packages.is_used("csv", frozenset({"touchy_library"}), len(sys.modules))
