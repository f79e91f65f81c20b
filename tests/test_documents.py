"""JSON of our own files, whatever a notebook has put in the place of `json.dumps`."""

from __future__ import annotations

import importlib
import json

import pytest

from ddp_magic import documents


def test_a_notebook_that_replaced_json_s_functions_changes_no_file_of_ours(monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda value: "LOUD")
    monkeypatch.setattr(json, "loads", lambda text: "LOUD")
    late = importlib.reload(documents)

    text = late.encoded({"a": [1, "ü\u2028"]})

    assert text.isascii()
    assert late.decoded(text) == late.decoded(text.encode()) == {"a": [1, "ü\u2028"]}
    with pytest.raises(ValueError, match="Expecting"):
        late.decoded(b"{")
