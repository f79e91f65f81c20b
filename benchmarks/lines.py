"""What the line model takes in, beside pyte: megabytes a second of CPU for each kind of output.

``python benchmarks/lines.py [MB]`` (2 MB of each kind if not given; pyte, which is slow, gets a
twentieth). `model` is one stream's screen, `kernel` all that a kernel with the panel does with a
log that grows: follow, read numbers and bars, draw lines, make the page's messages.
CPU time, so that what else the machine does counts little; the ratio is measured in one run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyte
from setting import describe, table

from ddp_magic.follow import Follower
from ddp_magic.rundir import SEGMENT, RunDir
from ddp_magic.terminal import RankTerminal
from ddp_magic.views.feed import Feed
from ddp_magic.views.picture import Picture
from tests.bars import Step, with_rich, with_tqdm
from tests.display import started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TICK = 0.05
LAG = 1 << 20
"""Bytes that a panel may be behind, of which a kernel reads a sixteenth in one look."""
PIECE = LAG // 16
TURNS = 3
GOAL = 4.0


def plain() -> Iterator[bytes]:
    """Yield lines as logging writes them."""
    for step in range(10_000):
        yield b"2026-01-02 03:04:05,678 INFO train: step %d done in 0.123 s by rank 0\n" % step


def coloured() -> Iterator[bytes]:
    """Yield lines as coloured loggers write them."""
    for step in range(10_000):
        yield (
            b"\x1b[32m2026-01-02 03:04:05\x1b[0m | \x1b[1mINFO    \x1b[0m | \x1b[36mtrain\x1b[0m:"
            b"\x1b[36mfit\x1b[0m:\x1b[36m%d\x1b[0m - \x1b[1mloss \x1b[33m0.123\x1b[0m\n" % step
        )


def long() -> Iterator[bytes]:
    """Yield lines of 10 kB, as of a printed tensor or a configuration."""
    for _ in range(100):
        yield b"0.1234, -0.5678, " * 600 + b"\n"


def wide() -> Iterator[bytes]:
    """Yield lines in Chinese and with emoji."""
    for step in range(10_000):
        yield f"第 {step} 轮:训练损失 0.123,验证准确率 0.95,学习率 0.001 🔥 保存检查点\n".encode()


def one_bar() -> Iterator[bytes]:
    """Yield a bar of tqdm."""
    steps = [Step(kind="open", text="train", amount=10_000)]
    steps += [Step(kind="advance", amount=1) for _ in range(9_999)]
    for writes in with_tqdm(steps):
        yield b"".join(writes)


def nested() -> Iterator[bytes]:
    """Yield bars of tqdm, each inside another."""
    steps = [Step(kind="open", text=name, amount=1000) for name in ("epoch", "batch", "sample")]
    steps += [Step(kind="advance", bar=n % 3, amount=1) for n in range(3000)]
    for writes in with_tqdm(steps):
        yield b"".join(writes)


def rich() -> Iterator[bytes]:
    """Yield the bars of rich, with a line printed now and then."""
    steps = [Step(kind="open", text=name, amount=1000) for name in ("epoch", "batch", "sample")]
    steps += [
        Step(kind="advance" if n % 20 else "say", bar=n, text=f"saved {n}", amount=1)
        for n in range(500)
    ]
    for writes in with_rich(steps):
        yield b"".join(writes)


KINDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "log lines": plain,
    "coloured log lines": coloured,
    "lines of 10 kB": long,
    "Chinese and emoji": wide,
    "a bar of tqdm": one_bar,
    "nested bars of tqdm": nested,
    "bars of rich": rich,
}


def repeated(chunk: bytes, size: int) -> bytes:
    """Return about so many bytes of a kind."""
    return chunk * max(1, size // len(chunk))


def pieces(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), PIECE):
        yield data[at : at + PIECE]


def model(data: bytes) -> float:
    """Return the CPU seconds that a rank's terminal takes."""
    terminal = RankTerminal()
    began = time.process_time()
    for piece in pieces(data):
        terminal.feed("stdout", piece)
        terminal.settle()
    return time.process_time() - began


def of_pyte(data: bytes) -> float:
    """Return those of pyte, which shows the last 40 rows and keeps no more."""
    stream = pyte.ByteStream(pyte.Screen(200, 40))
    began = time.process_time()
    for piece in pieces(data):
        stream.feed(piece)
    return time.process_time() - began


def kernel(data: bytes) -> float:
    """Return those of a kernel that follows a log which grows, and feeds a page that answers."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        run = RunDir.create(Path(name) / "run-1")
        follower, picture = Follower(run, 1, LAG), Picture()
        picture.handle(started(world_size=1, log_dir=str(run.logs)))
        feed = Feed(picture)
        now, spent, at = 1000.0, 0.0, 0
        for piece in pieces(data):
            rest = piece
            while rest:  # as the guard writes it: files of equal size
                number, used = divmod(at, SEGMENT)
                with run.log(0, "stdout", number).open("ab") as log:
                    at += log.write(rest[: SEGMENT - used])
                rest = rest[SEGMENT - used :]
            now += TICK
            began = time.process_time()
            for event in follower.read():
                picture.handle(event)
            picture.settle(now)
            if message := feed.message(now):
                feed.acknowledged = message["n"]
            spent += time.process_time() - began
        return spent


def main(megabytes: float) -> None:
    """Print a row for each kind."""
    describe()
    size = round(megabytes * 1e6)
    rows = [("MB/s of", "model", "kernel", "pyte", "model / pyte")]
    slow: list[str] = []
    for name, make in KINDS.items():
        chunk = b"".join(make())
        data, less = repeated(chunk, size), (chunk * (1 + size // len(chunk)))[: size // 20]
        best = [len(data) / min(way(data) for _ in range(TURNS)) / 1e6 for way in (model, kernel)]
        its = len(less) / of_pyte(less) / 1e6
        rows.append((name, *(f"{b:.1f}" for b in best), f"{its:.2f}", f"{best[0] / its:.0f}"))
        slow += [name] if min(best) < GOAL else []
    table(rows)
    print(f"below {GOAL:g} MB/s: {', '.join(slow) or 'none'}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 2.0)
