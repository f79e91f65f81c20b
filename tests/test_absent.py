"""Whether rank 0 still works, as another rank sees it: from the time that its processes compute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ddp_magic.worker import absent
from tests.notebook import until


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return rank 0's processes by id, each with what it has computed, and a clock."""
    made = SimpleNamespace(spent={1: 5.0, 2: 60.0}, now=0.0)
    monkeypatch.setattr(absent, "descendants", lambda _: list(made.spent))
    monkeypatch.setattr(absent, "cpu_time", made.spent.__getitem__)
    monkeypatch.setattr(absent, "_is_first", lambda _: True)
    monkeypatch.setattr(absent, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_rank_0_works_on_though_a_process_of_its_data_has_ended(first: SimpleNamespace) -> None:
    seen = absent._First()
    first.now += absent._WINDOW
    del first.spent[2]
    first.spent[1] += 4.0
    first.spent[3] = 0.1

    assert seen.works()
    first.now += absent._WINDOW
    first.spent[1] += 0.1
    assert not seen.works()


@pytest.mark.skipif(sys.platform != "linux", reason="only there an environment is to be read")
@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"RANK": "0"}, True),
        ({"A": "1", "RANK": "0"}, True),
        ({"LOCAL_RANK": "0", "RANK": "1"}, False),
        ({"RANK": "01"}, False),
    ],
)
def test_rank_0_is_known_by_its_environment(environ: dict[str, str], found: object) -> None:
    with subprocess.Popen(["/bin/cat"], env=environ, stdin=subprocess.PIPE) as process:
        try:
            until(Path(f"/proc/{process.pid}/environ").read_bytes)  # empty while it begins
            assert absent._is_first(process.pid) is found
        finally:
            process.kill()
    assert not absent._is_first(process.pid)
