"""The files of the run history: many writers, broken files, bounds, places that cannot be had."""

from __future__ import annotations

import gzip
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ddp_magic.documents import encoded
from ddp_magic.history import store as storing
from ddp_magic.history.records import RunRecord
from ddp_magic.history.store import Store, place
from tests.records import curve, record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state" / "ddp_magic" / "runs")


def written(store: Store, data: bytes, number: int) -> None:
    store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (store.folder / f"{number}.json.gz").write_bytes(data)


def test_a_record_is_read_as_it_was_written_and_is_private(store: Store):
    kept = record(name="é\udc80\u202e<b>", metrics=(curve("loss", 1.0, math.nan),), extras={"a": 1})
    number = store.add(kept)
    read = store.read(number)

    assert (number, store.numbers()) == (1, [1])
    assert read is not None
    assert math.isnan(read.metrics[0].last)
    assert read.written() == kept.written()
    assert read.number == 1
    for path in (store.folder, store.folder.parent):
        assert path.stat().st_mode & 0o777 == 0o700
    (file,) = store.folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_directory_that_others_could_read_is_closed(store: Store):
    store.folder.mkdir(parents=True)
    store.folder.chmod(0o755)
    store.add(record())

    assert store.folder.stat().st_mode & 0o777 == 0o700


def test_a_directory_of_another_user_is_not_used(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    with pytest.raises(PermissionError, match="it belongs to another user"):
        store.add(record())


def test_kernels_that_write_at_once_never_get_one_number(store: Store):
    code = """
import sys
from pathlib import Path
from ddp_magic.history.store import Store
from tests.records import record
store = Store(Path(sys.argv[1]))
sys.stdin.read()
for n in range(20):
    store.add(record(name=f"{sys.argv[2]}-{n}"))
"""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(store.folder), str(n)],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )
        for n in range(4)
    ]
    for writer in writers:
        writer.communicate(timeout=120)

    names = {run.name for number in store.numbers() if (run := store.read(number))}
    assert names == {f"{writer}-{n}" for writer in range(4) for n in range(20)}
    assert store.numbers() == list(range(1, 81))
    assert not list(store.folder.glob(".*"))


def test_the_oldest_runs_make_room(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storing, "RUNS", 3)
    for _ in range(5):
        store.add(record())

    assert store.numbers() == [3, 4, 5]


def test_large_runs_make_room_too_and_the_newest_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    store.add(record())
    one = next(store.folder.iterdir()).stat().st_size
    monkeypatch.setattr(storing, "BYTES", 2 * one + 50)
    monkeypatch.setattr(storing, "LOOKS", 1)
    store.add(record())
    store.add(record())
    assert store.numbers() == [2, 3]

    store.add(record(module=os.urandom(20_000).hex()))
    assert store.numbers() == [4]


def test_unfinished_files_of_dead_kernels_go(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storing, "LOOKS", 2)
    store.add(record())
    old, new = store.folder / ".old.new", store.folder / ".young.new"
    old.write_bytes(b"")
    new.write_bytes(b"")
    os.utime(old, (time.time() - 7200,) * 2)
    store.add(record())

    assert [new.exists(), old.exists()] == [True, False]


def test_a_removed_number_is_not_given_again(store: Store):
    for _ in range(3):
        store.add(record())
    store.remove([3, 1])

    assert store.numbers() == [2]
    assert store.read(3) is None
    assert store.add(record()) == 4
    store.remove([2, 4])
    assert store.numbers() == []
    assert store.add(record()) == 5


BROKEN = {
    "not compressed": b"{}",
    "cut": gzip.compress(record().written()[0])[:-20],
    "no JSON": gzip.compress(b"{"),
    "no object": gzip.compress(b"[1]"),
    "no text": gzip.compress(b"\xff\xfe"),
    "nothing in it": gzip.compress(b"{}"),
    "no number": gzip.compress(
        encoded({"started": "x", "duration": 1, "state": "failed"}).encode()
    ),
    "no time": gzip.compress(encoded({"started": 1e999, "duration": 1, "state": "f"}).encode()),
    "no list": gzip.compress(
        encoded({"started": 1, "duration": 1, "state": "f", "devices": "CPU"}).encode()
    ),
    "no metric": gzip.compress(
        encoded({"started": 1, "duration": 1, "state": "f", "metrics": [7]}).encode()
    ),
    "deep": gzip.compress(b"[" * 100_000),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_costs_one_run(store: Store, case: str):
    store.add(record())
    written(store, BROKEN[case], 2)

    assert store.read(2) is store.glance(2) is None
    assert store.add(record()) == 3
    assert [number for number in store.numbers() if store.read(number)] == [1, 3]


def test_a_file_of_a_later_version_is_read_as_far_as_it_is_known(store: Store):
    later = {"format": 9, "started": 5, "duration": 2, "state": "paused", "colour": "blue"}
    written(store, gzip.compress(encoded(later).encode()), 1)

    assert store.read(1) == RunRecord(number=1, started=5.0, duration=2.0, state="paused")


def test_what_is_not_ours_is_left_alone(store: Store):
    store.folder.mkdir(parents=True)
    for name in ("notes.txt", "0.json.gz", "7.json", "history.sqlite"):
        (store.folder / name).write_text("mine")
    (store.folder / "9.json.gz").mkdir()
    os.mkfifo(store.folder / "8.json.gz")
    store.add(record())

    assert store.numbers() == [10]
    assert store.read(8) is None
    assert len(list(store.folder.iterdir())) == 7


def test_a_glance_has_what_runs_are_chosen_by_and_reads_little(store: Store):
    kept = record(metrics=(curve("loss", 1.0, 0.5), curve("acc")), extras={"a": {}})
    number = store.add(replace(kept, module=os.urandom(100_000).hex()))
    bare = tuple(replace(metric, x=(), y=()) for metric in kept.metrics)

    glance = replace(kept, number=number, metrics=bare, module="", body="")
    assert store.glance(number) == glance
    assert (store.folder / "1.json.gz").stat().st_size > 100_000
    os.truncate(store.folder / "1.json.gz", 50_000)
    assert store.glance(number) == glance
    assert store.read(number) is None
    assert store.glance(2) is None


def test_records_of_the_first_format_are_read(store: Store):
    kept = record()
    old = vars(kept) | {"metrics": [vars(metric) for metric in kept.metrics], "format": 1}
    written(store, gzip.compress(encoded(old).encode()), 7)

    assert store.read(7) == store.glance(7) == replace(kept, number=7)


def test_a_first_part_that_is_large_is_read_in_the_long_way(store: Store):
    number = store.add(record(note=os.urandom(100_000).hex()))

    assert store.glance(number) == store.read(number) is not None


def test_a_place_that_cannot_be_written_is_told_by_an_oserror(tmp_path: Path):
    (tmp_path / "ddp_magic").write_text("a file")

    with pytest.raises(OSError, match=r"exists|directory"):
        Store(tmp_path / "ddp_magic" / "runs").add(record())


def test_a_full_disk_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    store.add(record())
    monkeypatch.setattr(gzip, "compress", full)
    with pytest.raises(OSError, match="No space left"):
        store.add(record())

    assert [path.name for path in store.folder.iterdir()] == ["1.json.gz"]


def test_nothing_is_there_before_the_first_run(store: Store):
    assert store.numbers() == []
    assert not store.folder.exists()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/s"}, "/s/ddp_magic/runs"),
        ({"XDG_STATE_HOME": "relative"}, "/home/ada/.local/state/ddp_magic/runs"),
        ({}, "/home/ada/.local/state/ddp_magic/runs"),
    ],
)
def test_the_place_is_that_of_the_xdg_specification(environ, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")

    assert place(environ) == Path(expected)


def test_a_user_without_a_home_has_no_place(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os.path, "expanduser", lambda _: "~")

    with pytest.raises(OSError, match="no home directory"):
        place({})
