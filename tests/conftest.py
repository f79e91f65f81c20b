"""What every test gets: a private TMPDIR that must hold no run, and no process, at its end."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import resource
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ddp_magic import launch
from ddp_magic.processes import kill_all, marked, wait_gone
from ddp_magic.standby import birth
from tests.case_ranks import Ranks
from tests.fork_server import SOCKET, Forks
from tests.notebook import Notebook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser import Jupyter


_SLOW = ("browser", "workers", "kernel", "slow")
_BROWSER = pytest.StashKey["tuple[contextlib.ExitStack, Jupyter]"]()


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups after us
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have several processes share the tests and end together.

    What takes long comes first. A file stays in one process, but for those of its tests that take
    long and share nothing with the others. All that need a browser share one.
    """
    order = {}
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        order[item] = next((n for n, name in enumerate(_SLOW) if name in marks), len(_SLOW))
        if "browser" in marks:
            item.add_marker(pytest.mark.xdist_group("browser"))
        elif _shares(item) or order[item] == len(_SLOW):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=order.__getitem__)


def _shares(item: pytest.Item) -> bool:
    """Whether a test needs something that its file makes once."""
    assert isinstance(item, pytest.Function)
    found = item._fixtureinfo.name2fixturedefs.items()
    return any(each[-1].scope == "module" for name, each in found if name != "nothing_old")


@pytest.fixture(scope="module", autouse=True)
def nothing_old() -> None:
    """Spare the ends of shells, which collect garbage, a look at what was there before a file."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def no_history(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the runs of fixtures of a whole file out of the developer's own history."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.hookimpl(trylast=True)  # pytest ends the fixtures before us
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the browser after the last test that needs it: others would find its event loop."""
    found = item.session.stash.get(_BROWSER, None)
    if found and not (nextitem and nextitem.get_closest_marker("browser")):
        del item.session.stash[_BROWSER]
        found[0].close()


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Jupyter:
    """Jupyter and a browser, which are one for all files, and a folder of this file's own."""
    from tests.browser import jupyter

    stash = request.session.stash
    if _BROWSER not in stash:
        stack = contextlib.ExitStack()
        stash[_BROWSER] = stack, stack.enter_context(jupyter(tmp_path_factory.mktemp("jupyter")))
    return stash[_BROWSER][1].folder(request.path.stem)


@pytest.fixture(scope="session")
def new_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Directories to be: one of pytest's own takes the longer to make, the more there are."""
    # with short names: multiprocessing has sockets there, whose paths end at 107 bytes
    base = tmp_path_factory.mktemp("t")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    """Makes fresh processes for what was collected."""
    made = Ranks()
    yield made
    made.close()


@pytest.fixture
def tmp_path(new_places: Iterator[Path]) -> Path:
    """A directory of the test's own."""
    place = next(new_places)
    place.mkdir()
    return place


@pytest.fixture(autouse=True)
def nothing_left(new_places: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Fail a test that leaves a process of a run, or a run's directory, behind."""
    place, state = next(new_places), next(new_places)
    place.mkdir()
    state.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.setenv("DDP_MAGIC_STANDBY", os.environ.get("TESTS_STANDBY", "0"))
    before = _children()
    yield place
    left = wait_gone(marked(place), 15) if _children() != before else []
    kill_all(left)
    named = [f"{pid}: {_command(pid)}" for pid in left]
    assert not left, f"processes left behind: {named}"
    assert not list(place.glob("ddp_magic-*")), "a run's directory was left behind"
    for used in (place, state):
        shutil.rmtree(used, ignore_errors=True)


def _children() -> tuple[object, ...]:
    """Return what is another once this process has started one: its children, dead and living."""
    living: list[str] = []
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended meanwhile
            living.append(path.read_text())
    return resource.getrusage(resource.RUSAGE_CHILDREN), "".join(living) if living else object()


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
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs start without torch's launcher: for tests of what is not the launcher's."""
    monkeypatch.setattr(launch, "_AGENT", Path(__file__).with_name("light_agent.py"))


@pytest.fixture(scope="session")
def forks(new_places: Iterator[Path]) -> Iterator[Forks]:
    """What ranks are forks of, for who wants that; it begins when it is wanted."""
    path = next(new_places)
    os.environ[SOCKET] = str(path)
    made = Forks(path)
    yield made
    made.close()


@pytest.fixture
def forked(forks: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ranks be forks of a process that has torch: for tests of what happens in ranks."""
    forks.start()
    monkeypatch.setattr(launch, "_AGENT", Path(__file__).with_name("forking_agent.py"))


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers wait for the runs of the extension that is loaded next."""
    monkeypatch.setenv("DDP_MAGIC_STANDBY", "1")
    monkeypatch.setenv("DDP_MAGIC_STANDBY_LIMIT", "100")
    # pytest's own, another for each phase of a test
    monkeypatch.setattr(birth, "LATE", birth.LATE | {"PYTEST_CURRENT_TEST"})
