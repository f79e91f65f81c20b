"""The last guard removes a dead kernel's directory, and no other."""

from __future__ import annotations

import fcntl
import os
import threading

import pytest

from ddp_magic import leaving
from ddp_magic.kerneldir import KernelDir
from tests.notebook import until


@pytest.fixture
def home():
    made = KernelDir.create()
    yield made
    made.remove()


def share(home):
    fd = os.open(home.path / "lock", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def test_a_directory_stays_until_the_last_that_works_in_it_leaves(home):
    locks = [share(home) for _ in range(3)]
    busy = locks.pop()
    leave = [
        threading.Thread(target=leaving.remove_after_others, args=[home.path, lock])
        for lock in (*locks, None)
    ]
    for thread in leave:
        thread.start()
    until(lambda: not _held(home, but=1))
    assert home.path.exists()

    os.close(busy)
    for thread in leave:
        thread.join(10)
    assert not home.path.exists()
    assert not any(thread.is_alive() for thread in leave)


def _held(home, but):
    """Whether more than `but` share the lock, as the system tells of it."""
    inode = (home.path / "lock").stat().st_ino
    with open("/proc/locks") as locks:
        return sum(f":{inode} " in line and "READ" in line for line in locks) > but


def test_who_works_on_for_too_long_leaves_it_to_the_next_kernel(home, monkeypatch):
    monkeypatch.setattr(leaving, "_PATIENCE", 0.05)
    busy = share(home)
    leaving.remove_after_others(home.path)
    assert home.path.exists()

    os.close(busy)
    leaving.remove_after_others(home.path)
    leaving.remove_after_others(home.path)
    assert not home.path.exists()
