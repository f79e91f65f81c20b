"""The guard, with small stand-ins for torch's agent: who dies when, and what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ddp_magic.follow import Follower
from ddp_magic.kerneldir import KernelDir
from ddp_magic.launch import Guard
from ddp_magic.processes import (
    LINUX,
    MARK,
    descendants,
    kill_all,
    marked,
    start_time,
    wait_gone,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ddp_magic.rundir import RunDir

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent

AGENT = """
import json, os, signal, subprocess, sys, time
sys.path.append({root!r})
from pathlib import Path
from ddp_magic.rundir import RunDir
from ddp_magic.news import tell
run = RunDir(Path(sys.argv[1]))
def worker(rank, code, attempt=0):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for number, stream in ((1, "stdout"), (2, "stderr")):
            fd = os.open(run.pipe(rank, stream), os.O_WRONLY); os.dup2(fd, number); os.close(fd)
        me = dict(rank=rank, attempt=attempt, pid=os.getpid())
        tell(run, ev="worker", local_rank=rank, **me)
        def done(exit_code):
            sys.stdout.flush()
            tell(run, ev="done", code=exit_code, **me)
            os._exit(exit_code)
        code(done)
        os._exit(99)
    return pid
def ready(): (run.path / f"ready.{{os.getpid()}}").touch()
def wait_for(pids):
    return [os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids]
"""


@dataclass
class Spec:
    """Stands in for `LaunchSpec`: another agent, all else the same."""

    agent: str
    world_size: int = 1
    grace: float = 30.0
    restarts: int = 0
    standby: float | None = None
    cwd: str = "/"

    def __post_init__(self) -> None:
        self.environ: dict[str, str] = {}

    def write(self, run: RunDir) -> None:
        self.environ = {"PATH": os.environ["PATH"], MARK: str(run.path)}
        for rank in range(self.world_size):
            for stream in ("stdout", "stderr"):
                os.mkfifo(run.pipe(rank, stream))
        os.mkfifo(run.news)
        code = AGENT.format(root=str(ROOT)) + textwrap.dedent(self.agent)
        told = {
            "kernel": os.getpid(),
            "world_size": self.world_size,
            "grace": self.grace,
            "restarts": self.restarts,
            "standby": self.standby,
            "agent": [sys.executable, "-c", code, str(run.path)],
        }
        run.write(run.spec, json.dumps(told))


@pytest.fixture
def home() -> Iterator[KernelDir]:
    home = KernelDir.create()
    yield home
    home.remove()


@pytest.fixture
def start(home: KernelDir) -> Iterator[Callable[..., Guard]]:
    guards: list[Guard] = []

    def start(agent: str, **options: object) -> Guard:
        guard = Guard(home.new_run(len(guards) + 1), Spec(agent, **options))
        guards.append(guard)
        return guard

    yield start
    for guard in guards:
        guard.end()


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


def ready(guard: Guard, count: int = 1) -> None:
    """Wait until so many processes have touched their marker."""
    until(lambda: len(list(guard.run.path.glob("ready.*"))) >= count)


def events(guard: Guard) -> list[dict[str, object]]:
    if not guard.run.events.exists():
        return []
    return [json.loads(line) for line in guard.run.events.read_text().splitlines()]


def ended(guard: Guard) -> dict[str, object]:
    until(lambda: any(e["ev"] == "ended" for e in events(guard)))
    return next(e for e in events(guard) if e["ev"] == "ended")


def living(guard: Guard) -> list[int]:
    """Return the processes of the run besides the guard itself."""
    return [p for p in marked(guard.run.path) if p != guard._process.pid]


STUBBORN = """
def stay(done):
    signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready()
    while True: time.sleep(60)
signal.signal(signal.SIGINT, lambda *a: None); signal.signal(signal.SIGTERM, lambda *a: None)
pids = [worker(0, stay)]
wait_for(pids)
"""
GRANDCHILDREN = """
def stay(done):
    subprocess.Popen(["sleep", "600"])                          # a plain child
    subprocess.Popen(["setsid", "-f", "sleep", "600"]).wait()   # a daemon in a session of its own
    ready()
    while True: time.sleep(60)
wait_for([worker(0, stay)])
"""


def test_a_run_that_succeeds_is_over_when_its_workers_are_gone(start):
    guard = start(
        """
        def work(done):
            print("hello"); done(0)
        pids = [worker(r, work) for r in range(2)]
        wait_for(pids)
        time.sleep(600)     # an agent that hangs in its teardown must not delay the end
        """,
        world_size=2,
    )

    assert ended(guard)["ok"] is True
    assert guard.run.log(0, "stdout").read_bytes() == b"hello\n"
    assert guard.run.log(1, "stdout").read_bytes() == b"hello\n"


def test_output_arrives_byte_for_byte_and_complete(start):
    guard = start(
        r"""
        def work(done):
            os.write(1, b"50%\r100%\r\n\xff\x00\x1b[31m"); os.write(2, b"err"); done(0)
        wait_for([worker(0, work)])
        """
    )
    ended(guard)

    assert guard.run.log(0, "stdout").read_bytes() == b"50%\r100%\r\n\xff\x00\x1b[31m"
    assert guard.run.log(0, "stderr").read_bytes() == b"err"


def test_a_log_keeps_its_oldest_and_newest_bytes_and_the_follower_says_what_is_missing(start):
    guard = start(
        """
        def work(done):
            for i in range(60): os.write(1, b"%07d\\n" % i * 131072)    # 60 MiB
            done(0)
        wait_for([worker(0, work)])
        """
    )
    ended(guard)
    files = sorted(guard.run.logs.glob("rank0.stdout*"), key=lambda p: p.stat().st_mtime)
    follower = Follower(guard.run, 1)
    chunks = [e for e in follower.read() if hasattr(e, "data")]

    assert sum(f.stat().st_size for f in files) == 32 << 20
    assert sum(len(c.data) for c in chunks) == 32 << 20
    assert sum(c.skipped for c in chunks) == 28 << 20
    assert chunks[0].data.startswith(b"0000000\n")
    assert chunks[-1].data.endswith(b"0000059\n")


def test_an_interrupt_reaches_the_agent_exactly_once(start):
    guard = start(
        """
        def count(*a): (run.path / f"signal.{time.monotonic_ns()}").touch()
        signal.signal(signal.SIGINT, count); signal.signal(signal.SIGTERM, count)
        ready()
        while True: time.sleep(0.05)
        """,
        grace=1.0,
    )
    ready(guard)
    for _ in range(3):
        guard.interrupt()
    ended(guard)

    assert len(list(guard.run.path.glob("signal.*"))) == 1


def test_a_run_that_is_given_longer_may_finish_after_its_grace(start):
    finishes = """
        def finish(*a): time.sleep(0.8); (run.path / "finished").touch(); os._exit(0)
        signal.signal(signal.SIGINT, finish)
        ready()
        while True: time.sleep(60)
        """
    guard = start(finishes, grace=0.3)
    ready(guard)
    guard.interrupt()
    guard.extend(60)
    ended(guard)

    assert (guard.run.path / "finished").exists()


@pytest.mark.parametrize("agent", [STUBBORN, GRANDCHILDREN], ids=["stubborn", "grandchildren"])
@pytest.mark.parametrize("how", ["interrupt", "kill", "kernel", "guard", "agent", "rank"])
def test_nothing_is_left(home, start, agent, how):
    guard = start(agent, grace=0.3)
    ready(guard)
    pids = living(guard)
    told = {e["ev"]: e for e in events(guard)}
    if how == "interrupt":
        guard.interrupt()
    elif how == "kill":
        guard.kill()
    elif how == "kernel":  # what the guard sees of our death: end-of-file
        guard._close()
    elif how == "guard":
        guard._process.kill()
        until(lambda: guard.wait(0.01) or guard.lost)
    elif how == "agent":
        os.kill(_agent(guard), signal.SIGKILL)
    elif how == "rank":
        os.killpg(told["worker"]["pid"], signal.SIGKILL)

    assert len(pids) >= 2
    assert wait_gone(pids, 10) == []


def test_a_dead_kernels_directory_goes_with_it(start):
    guard = start(STUBBORN)
    ready(guard)
    guard._close()
    until(lambda: not guard.run.path.parent.exists())


def test_a_guard_whose_work_is_done_removes_the_directory_when_the_kernel_dies_later(start):
    guard = start("wait_for([worker(0, lambda done: done(0))])")
    ended(guard)

    assert guard.run.logs.exists()
    guard._close()
    until(lambda: not guard.run.path.parent.exists())


def test_a_guard_whose_work_is_done_sleeps(start):
    guard = start(STUBBORN)
    ready(guard)
    guard.kill()  # sets a deadline that has passed from then on
    ended(guard)
    stat = Path(f"/proc/{guard._process.pid}/stat")

    def ticks() -> int:
        return sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))

    before = ticks()
    with pytest.raises(subprocess.TimeoutExpired):
        guard._process.wait(1)
    assert ticks() - before < 20  # of 100 in a second


def test_a_dismissed_guard_leaves_the_directory_to_the_next(start):
    first = start("wait_for([worker(0, lambda done: done(0))])")
    ended(first)
    second = start("wait_for([worker(0, lambda done: done(0))])")
    first.dismiss()
    ended(second)
    until(first.reaped)

    assert first.run.logs.exists()


def test_ranks_that_outlive_a_failed_one_are_killed_and_named(start):
    guard = start(
        """
        def fail(done): done(1)
        pids = [worker(1, fail)]
        def stay(done):
            signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)
        pids.append(worker(0, stay))
        wait_for(pids)
        """,
        world_size=2,
        grace=0.3,
    )
    said = ended(guard)
    killed = [e for e in events(guard) if e["ev"] == "killed"]

    assert said["ok"] is False
    assert [e["ranks"] for e in killed] == [[0]]


def test_a_save_in_progress_extends_the_grace(start):
    guard = start(
        """
        def save(done):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            ready()
            with open(run.results / "model.part", "wb", 0) as f:
                for _ in range(20): f.write(b"x"); time.sleep(0.1)
            (run.results / "model.part").rename(run.results / "model")
            done(130)
        signal.signal(signal.SIGINT, lambda *a: None)
        wait_for([worker(0, save)])
        """,
        grace=0.3,
    )
    ready(guard)
    guard.interrupt()
    ended(guard)

    assert (guard.run.results / "model").exists()


FAILS_BESIDE = """
def fail(done): ready(); done(1)
def other(done):
    signal.signal(signal.SIGTERM, signal.SIG_IGN); {what}
    done(143)
wait_for([worker(1, fail), worker(0, other)])
"""


def test_a_checkpoint_in_a_finally_extends_the_grace_after_a_failure(start, tmp_path):
    write = f"""
    with open({str(tmp_path / "checkpoint")!r}, "wb", 0) as f:
        for _ in range(20): f.write(b"x" * 10**6); time.sleep(0.1)
    open({str(tmp_path / "whole")!r}, "w").close()"""
    guard = start(FAILS_BESIDE.format(what=write), world_size=2, grace=0.3)
    ended(guard)

    assert (tmp_path / "whole").exists()


def test_printing_does_not_extend_the_grace(start):
    shout = """
    while True: os.write(1, b"y" * 10**5)"""
    guard = start(FAILS_BESIDE.format(what=shout), world_size=2, grace=0.3)
    ended(guard)

    assert [e["ranks"] for e in events(guard) if e["ev"] == "killed"] == [[0]]


def test_a_restarted_attempt_finds_no_orphan_of_the_one_before(start):
    guard = start(
        """
        def fail(done):
            subprocess.Popen(["setsid", "-f", "sleep", "601"]).wait(); done(1)
        wait_for([worker(0, fail)])
        def again(done):
            ready()
            while not (run.path / "go").exists(): time.sleep(0.01)
            done(0)
        wait_for([worker(0, again, attempt=1)])
        """,
        restarts=1,
    )
    ready(guard)
    until(lambda: not any(_command(p) == [b"sleep", b"601"] for p in living(guard)))
    (guard.run.path / "go").touch()

    assert ended(guard)["ok"] is True


def test_a_guard_that_is_stopped_is_killed_by_the_kernel_with_all_below_it(start, monkeypatch):
    monkeypatch.setattr("ddp_magic.launch._OBEYS_WITHIN", 0.2)
    guard = start(STUBBORN)
    ready(guard)
    pids = living(guard)
    os.kill(guard._process.pid, signal.SIGSTOP)
    guard.kill()
    until(lambda: guard.wait(0.01) or guard.lost)

    assert wait_gone(pids, 5) == []


def test_the_guard_leaves_at_once_where_its_kernel_is_gone_already(home, start):
    run = home.new_run(99)
    Spec("").write(run)
    spec = json.loads(run.spec.read_bytes())
    run.spec.write_text(json.dumps({**spec, "kernel": 1}))
    guard = ROOT / "ddp_magic" / "guard" / "__main__.py"
    command = [sys.executable, "-I", "-S", str(guard), str(run.path)]
    done = subprocess.run(command, check=False, timeout=20)

    assert done.returncode == 0
    assert not run.path.parent.exists()


def _agent(guard: Guard) -> int:
    stats = {
        p: Path(f"/proc/{p}/stat").read_text().rpartition(")")[2].split() for p in living(guard)
    }
    # daemons of its workers, being orphans, have the same parent, and are younger
    return min(p for p, fields in stats.items() if int(fields[1]) == guard._process.pid)


def test_a_process_is_told_from_a_later_one_with_its_pid():
    child = subprocess.Popen(["sleep", "600"])
    born = start_time(child.pid)
    child.kill()
    child.wait()

    assert born is not None
    assert start_time(child.pid) is None


_WITHOUT_MAIN_THREAD = """
import ctypes, subprocess, sys, threading, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
threading.Thread(target=time.sleep, args=(600,)).start()
print(child.pid, flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(not LINUX, reason="elsewhere a process dies whole")
def test_a_process_whose_main_thread_has_ended_still_has_its_children():
    # as a killed rank for up to 30 ms: the guard saw nothing below it and left its children alive
    command = [sys.executable, "-c", _WITHOUT_MAIN_THREAD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as half:
        assert half.stdout
        below = int(half.stdout.readline())
        try:
            until(lambda: Path(f"/proc/{half.pid}/stat").read_text().split()[2] == "Z")
            seen, born = descendants(os.getpid()), start_time(half.pid)
        finally:
            kill_all([half.pid, below])

    assert {half.pid, below} <= set(seen)
    assert born is not None
    assert start_time(half.pid) is None


def _command(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return []
