"""What every test gets: a private TMPDIR that must hold no run, and no process, at its end."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ddp_magic.processes import kill_all, marked, wait_gone
from ddp_magic.standby import birth
from tests.notebook import Notebook

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with slow tests first: two processes share the files, and end together."""
    slow = {i.path for i in items if {"browser", "kernel", "workers"} & {*i.keywords}}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def no_history(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the runs of fixtures of a whole file out of the developer's own history."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def nothing_left(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Fail a test that leaves a process of a run, or a run's directory, behind."""
    # not below tmp_path: multiprocessing has sockets there, whose paths end at 107 bytes
    place = tmp_path_factory.mktemp("t")
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("DDP_MAGIC_STANDBY", os.environ.get("TESTS_STANDBY", "0"))
    yield place
    left = wait_gone(marked(place), 15)
    kill_all(left)
    named = [f"{pid}: {_command(pid)}" for pid in left]
    assert not left, f"processes left behind: {named}"
    assert not list(place.glob("ddp_magic-*")), "a run's directory was left behind"


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    except OSError:
        return os.strerror(3)


@pytest.fixture
def notebook(capfd: pytest.CaptureFixture[str], nothing_left: Path) -> Iterator[Notebook]:
    """A notebook with the extension loaded."""
    made = Notebook(capfd)
    yield made
    made.close()


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers wait for the runs of the extension that is loaded next."""
    monkeypatch.setenv("DDP_MAGIC_STANDBY", "1")
    monkeypatch.setenv("DDP_MAGIC_STANDBY_LIMIT", "100")
    # pytest's own, another for each phase of a test
    monkeypatch.setattr(birth, "LATE", birth.LATE | {"PYTEST_CURRENT_TEST"})
