"""What SIGTERM does to a rank and to its children, each in a fresh process without torch."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

BEGIN = """
import multiprocessing, os, signal, sys, threading, time
from ddp_magic.worker.termination import Terminated, Termination, ignore
told = []
def make(rank0):
    return Termination(raises=rank0, failing=told.append)
def term():
    os.kill(os.getpid(), signal.SIGTERM)
def wait(seconds=20):
    threading.Event().wait(seconds)
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    text = BEGIN + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=30, check=False
    )


def test_rank_0_runs_its_finally_blocks():
    done = python(
        """
        make(True)
        try:
            term(); wait()
        finally:
            print("cleaned")
        """
    )

    assert (done.stdout, done.returncode) == ("cleaned\n", 143)


def test_another_rank_leaves_at_once_even_out_of_c_code():
    done = python(
        """
        import ctypes
        make(False)
        mutex = ctypes.create_string_buffer(64)
        lock = ctypes.CDLL(None).pthread_mutex_lock
        threading.Timer(0.1, term).start()
        try:
            # like a collective: the main thread stays in C and comes to no signal handler
            lock(mutex); lock(mutex)
        finally:
            print("never")
        """
    )

    assert (done.stdout, done.returncode) == ("", 143)


@pytest.mark.parametrize("rank0", ["True", "False"])
def test_a_rank_that_handles_an_error_gets_to_tell_it(rank0: str):
    done = python(
        f"""
        make({rank0})
        try:
            raise ValueError("culprit")
        except ValueError:
            term()
            while not told: wait(0.01)
            print(repr(told[0]))
            sys.exit(5)
        """
    )

    assert (done.stdout, done.returncode) == ("ValueError('culprit')\n", 5)


def test_rank_0_is_not_spared_for_ever_by_a_harmless_error_around_it():
    done = python(
        """
        import ddp_magic.worker.termination as module
        module._PATIENCE = 0.05
        make(True)
        try:
            raise KeyError("harmless")
        except KeyError:
            try:
                term(); wait()
            except Terminated:
                print("stopped")
        """
    )

    assert done.stdout == "stopped\n"


@pytest.mark.parametrize("rank0", ["True", "False"])
def test_a_forked_child_dies_of_it_and_its_rank_lives_on(rank0: str):
    done = python(
        f"""
        make({rank0})
        try:
            raise KeyError("being handled where it forks")
        except KeyError:
            child = multiprocessing.get_context("fork").Process(target=wait)
            child.start(); child.terminate(); child.join(10)
            print(child.exitcode)
        wait(0.1)
        print("alive", told)
        """
    )

    assert (done.stdout, done.returncode) == ("-15\nalive []\n", 0)


def test_a_handler_of_the_program_is_respected():
    done = python(
        """
        make(False)
        signal.signal(signal.SIGTERM, lambda *_: (print("mine"), sys.exit(4)))
        term(); wait()
        """
    )

    assert (done.stdout, done.returncode) == ("mine\n", 4)


def test_nothing_disturbs_what_follows_the_program():
    done = python(
        """
        make(False); ignore()
        term(); os.kill(os.getpid(), signal.SIGINT); wait(0.1)
        print("saved")
        """
    )

    assert (done.stdout, done.returncode) == ("saved\n", 0)
