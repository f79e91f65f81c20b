"""Whatever is wrong with the input: one sentence or two, no process, no file, no changed name."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from IPython.core.error import UsageError

from ddp_magic.processes import marked

SETUP = """
import sqlite3, threading
class Trainer:
    def __init__(self, lr=0.1, epochs=3, verbose=False, **extra): self.lr = lr
    def train(self): return [self.lr]
def loud(lr=1.0): return lr
scale = 2.0
best_lr = 0.3
lock = threading.Lock(); lock.acquire()
log = open(__import__("os").devnull, "w")
numbers = (n for n in range(3))
db = sqlite3.connect(":memory:")
holder = {"inner": [1, log]}
"""

BODY = "trainer = Trainer()\nhistory = trainer.train()"

LINES = {
    "unknown option": ("--gpu 2", BODY, "--gpu"),
    "epochs as an option": ("--epochs 5", BODY, "epochs=5"),
    "unknown override": ("epoch=5", BODY, "epochs"),
    "ambiguous override": ("lr=0.5", "Trainer(); loud()", "Trainer.lr"),
    "text over a number": ("lr=best_lr", BODY, "lr={best_lr}"),
    "undefined braces": ("lr={nothing_here}", BODY, "nothing_here"),
    "comma list": ("lr=1e-3,3e-4", BODY, "lr"),
    "four gpus": ("--gpus 4", BODY, "--nproc"),
    "no gpus": ("--gpus 0", BODY, "--gpus"),
    "negative workers": ("--nproc -1", BODY, "--nproc"),
    "workers in words": ("--nproc two", BODY, "--nproc"),
    "the same device twice": ("--devices 0,0", BODY, "--devices"),
    "an output that nothing binds": ("-o histroy", BODY, "history"),
    "a rank that is not there": ("--nproc 2 --rank 2", BODY, "--rank"),
    "a launcher flag that breaks a promise": ('--torchrun "--standalone"', BODY, "standalone"),
    "a shell line": ("", "!ls", "!ls"),
    "a line magic": ("", "%timeit 1", "%timeit"),
    "input": ("", "name = input()", "input"),
    "nested": ("", "%%ddp\n1", "%%ddp"),
    "only a comment": ("", "# nothing", "nothing to run"),
    "MASTER_PORT": ("", "import os\nos.environ['MASTER_PORT'] = '12355'", "MASTER_PORT"),
    "two groups": (
        "",
        "import torch.distributed as dist\ndist.init_process_group()\ndist.init_process_group()",
        "init_process_group",
    ),
    "a lock": ("", "print(lock)", "lock"),
    "an open file": ("", "print(log)", "log"),
    "a generator": ("", "print(list(numbers))", "numbers"),
    "a connection": ("", "print(db)", "db"),
    "an open file inside": ("", "print(holder)", "holder['inner'][1]"),
}


@pytest.fixture
def made(notebook):
    notebook.cells(SETUP)
    yield notebook
    notebook.ns["log"].close()
    notebook.ns["db"].close()


@pytest.mark.parametrize(("line", "body", "word"), LINES.values(), ids=LINES)
def test_bad_input_is_told_in_a_sentence_and_starts_nothing(
    made, nothing_left, monkeypatch, line, body, word
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    before = {k: id(v) for k, v in made.ns.items() if not k.startswith("_") and k != "In"}
    started: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(a))

    shown = made.run(f"%%ddp {line}\n{body}")
    monkeypatch.undo()

    assert isinstance(shown.error, UsageError)
    assert word in shown.told
    assert "Traceback" not in shown.err + shown.out
    assert started == []
    assert marked(nothing_left) == []
    assert list(nothing_left.glob("ddp_magic-*/run-*")) == []
    after = {k: id(v) for k, v in made.ns.items() if not k.startswith("_") and k != "In"}
    assert after == before


def test_an_empty_body_is_refused(notebook):
    shown = notebook.run("%%ddp --nproc 2")

    assert isinstance(shown.error, UsageError)
    assert "empty" in shown.told


def test_a_syntax_error_is_shown_at_its_line(notebook):
    shown = notebook.run("%%ddp --nproc 2\nx = 1\ny = (2 +\n")

    assert isinstance(shown.error, SyntaxError)
    assert shown.error.lineno == 3
    assert shown.error.filename == "Cell In[1]"


def test_a_temp_directory_that_is_not_there_is_told(notebook, monkeypatch, tmp_path):
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("tempfile.tempdir", str(tmp_path / "gone"))
        shown = notebook.run("%%ddp --nproc 2\n1")

    assert isinstance(shown.error, UsageError)
    assert "TMPDIR" in shown.told


def test_a_working_directory_that_is_gone_is_told(notebook, monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    with monkeypatch.context() as elsewhere:
        elsewhere.chdir(gone)
        gone.rmdir()
        shown = notebook.run("%%ddp --nproc 2\n1")

    assert isinstance(shown.error, UsageError)
    assert "os.chdir" in shown.told


def test_a_full_disk_is_told_and_leaves_nothing(notebook, monkeypatch, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root and the right to mount")
    try:
        notebook.cells("data = bytes(range(256)) * 4096")
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("tempfile.tempdir", str(small))
            shown = notebook.run("%%ddp --nproc 2\nprint(len(data))")

        assert isinstance(shown.error, UsageError)
        assert f"and {small}" in shown.told
        assert "has room for" in shown.told
        assert not list(small.glob("ddp_magic-*/run-*"))
        notebook.run("%unload_ext ddp_magic")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_planted_directory_is_left_alone(notebook, nothing_left, tmp_path):
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "precious").touch()
    planted = nothing_left / "ddp_magic-planted"
    planted.symlink_to(target)
    foreign = nothing_left / "ddp_magic-open"
    foreign.mkdir(mode=0o777)
    (foreign / "owner.json").write_text('{"pid": 1, "start": "0", "boot": "x"}')
    shown = notebook.run("%%ddp --nproc two\n1")

    assert isinstance(shown.error, UsageError)
    assert (target / "precious").exists()
    assert (foreign / "owner.json").exists()
    planted.unlink()
    shutil.rmtree(foreign)


def test_a_variable_that_sets_nonsense_is_refused_when_the_extension_is_loaded(
    notebook, monkeypatch
):
    notebook.cells("%unload_ext ddp_magic")
    monkeypatch.setenv("DDP_MAGIC_STANDBY", "perhaps")
    shown = notebook.run("%load_ext ddp_magic")

    assert isinstance(shown.error, UsageError)
    assert shown.told.endswith("Write standby=off. The environment has DDP_MAGIC_STANDBY=perhaps.")
    assert "Traceback" not in shown.out + shown.err
