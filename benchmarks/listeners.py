"""Who listens during a run: every socket of the run's process tree, beside plain torchrun's.

``python benchmarks/listeners.py``. The same as ``ss -ltnp`` (and bound UDP), of these trees only.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from setting import command_line, describe, opened, table, until

from ddp_magic.processes import marked

CELL = """
import os, time
import torch, torch.distributed as dist
dist.init_process_group("gloo")
dist.all_reduce(torch.ones(1))
open(f"{place}/ready.{{dist.get_rank()}}", "w").close()
while not os.path.exists("{place}/looked"):
    time.sleep(0.01)
dist.destroy_process_group()
"""


def sockets(pids: list[int]) -> list[tuple[str, ...]]:
    """Return a row for every socket of these processes that waits for somebody."""
    rows: list[tuple[str, ...]] = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in psutil.Process(pid).net_connections("inet"):
                udp = one.type == socket.SOCK_DGRAM and not one.raddr
                if one.status == psutil.CONN_LISTEN or udp:
                    loopback = ipaddress.ip_address(one.laddr.ip).is_loopback
                    address = f"{one.laddr.ip}:{one.laddr.port}"
                    rows.append(
                        (role(pid), "UDP" if udp else "TCP", address, "yes" if loopback else "NO")
                    )
    return sorted(rows)


def role(pid: int) -> str:
    """Return what a process of either tree is."""
    line = command_line(pid)
    for part, name in (
        ("guard/__main__.py", "guard"),
        ("agent.py", "agent"),
        ("torchrun", "agent"),
    ):
        if part in line or (name == "agent" and "distributed.run" in line):
            return name
    rank = psutil.Process(pid).environ().get("RANK")
    return "?" if rank is None else f"rank {rank}"


def report(name: str, pids: list[int]) -> None:
    """Print the table of one tree."""
    rows = sockets(pids)
    outside = sum(row[3] == "NO" for row in rows)
    print(f"{name}: {len(pids)} processes, {len(rows)} sockets, {outside} not on loopback")
    table([("process", "kind", "address", "loopback"), *rows])


def with_ddp_magic() -> None:
    with opened() as (kernel, tmp):
        place = tmp.parent
        request = kernel.start("%%ddp --nproc 2" + CELL.format(place=place))
        until(lambda: all((place / f"ready.{r}").exists() for r in range(2)))
        report("%%ddp --nproc 2", marked(tmp))
        (place / "looked").touch()
        kernel.finish(request)


def with_torchrun() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        script = place / "script.py"
        script.write_text(CELL.format(place=place))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        started = subprocess.Popen(
            [*command, "--nproc-per-node=2", str(script)],
            env={**os.environ, "TMPDIR": name, "CUDA_VISIBLE_DEVICES": ""},
            stderr=subprocess.DEVNULL,
        )
        until(lambda: all((place / f"ready.{r}").exists() for r in range(2)))
        below = [p.pid for p in psutil.Process(started.pid).children(recursive=True)]
        report("torchrun --standalone --nproc-per-node 2", [started.pid, *below])
        (place / "looked").touch()
        started.wait()


if __name__ == "__main__":
    describe()
    with_ddp_magic()
    with_torchrun()
