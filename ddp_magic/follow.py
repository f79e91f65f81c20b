"""Runs in the kernel: a run's directory -> events. It reads files only, so it can start late."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from ddp_magic.displays import FollowedDisplays
from ddp_magic.documents import decoded
from ddp_magic.events import (
    Event,
    Notice,
    OutputChunk,
    RunState,
    StateChanged,
    Stream,
    WorkerExited,
    WorkerStarted,
)
from ddp_magic.metrics import Reported
from ddp_magic.metrics.scrape import Scrape
from ddp_magic.rundir import SEGMENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ddp_magic.rundir import RunDir

__all__ = ["LAG", "Ending", "Follower", "Tail"]

LAG = 16 << 20
"""Bytes of a stream that a reader may be behind before older ones are skipped."""
_LOOKS = 16
"""In how many looks a reader would catch up with the lag."""


class Ending:
    """What the guard and the agent said of the run's end.

    Attributes:
        ok: Whether every rank left with 0.
        agent: The agent's exit status, negative for a signal; None while it lives.
        codes: Exit code by rank, as the agent saw it; negative for a signal.
        announced: Exit code by rank, as the worker announced it; None where it was killed.
        grouped: Whether a process group was made; None where unknown.
        gone: When each rank ended, seconds since the epoch.
        killed: Ranks that the guard killed because another had failed.
        left: Processes that SIGKILL could not end.
        lost: Why output was lost, or None.
        attempt: The last attempt's number.
    """

    def __init__(self) -> None:
        self.ok = False
        self.agent: int | None = None
        self.codes: dict[int, int] = {}
        self.announced: dict[int, int | None] = {}
        self.grouped: bool | None = None
        self.gone: dict[int, float] = {}
        self.killed: set[int] = set()
        self.left: list[int] = []
        self.lost: str | None = None
        self.attempt = 0


class Tail:
    """Follows one stream of one rank through its log's files.

    Args:
        run: The run.
        rank: The rank.
        stream: Which of its streams.
        lag: Bytes to be behind before older ones are skipped; None never skips.
    """

    def __init__(self, run: RunDir, rank: int, stream: Stream, lag: int | None = LAG) -> None:
        self._lag = lag
        self._batch = (LAG if lag is None else lag) // _LOOKS
        self._run = run
        self._rank = rank
        self._stream: Stream = stream
        self._at = 0

    def read(self, *, skip: bool = True) -> OutputChunk | None:
        """Return what was added, at most a batch; None where nothing was."""
        start = self._at
        lag = self._lag if skip else None
        if lag is not None and (behind := self._size() - self._at) > lag:
            self._at += behind - self._batch
        data = self._read()
        if not data and self._at == start:
            return None
        skipped = self._at - start
        self._at += len(data)
        return OutputChunk(
            time=time.time(), rank=self._rank, stream=self._stream, data=data, skipped=skipped
        )

    def _size(self) -> int:
        """Return the stream's length so far: every file but the newest has the same size."""
        segments = self._segments()
        if not segments:
            return 0
        newest = self._run.log(self._rank, self._stream, segments[-1])
        return segments[-1] * SEGMENT + newest.stat().st_size

    def _segments(self) -> list[int]:
        """Return the numbers of the files that are there, which the cap may have thinned."""
        prefix = f"rank{self._rank}.{self._stream}."
        names = [p.name.removeprefix(prefix) for p in self._run.logs.glob(prefix + "*log")]
        return sorted(int(n.removesuffix("log").rstrip(".") or 0) for n in names)

    def _read(self) -> bytes:
        """Return bytes at `_at`, which moves on over files that the cap has removed."""
        segment, offset = divmod(self._at, SEGMENT)
        try:
            log = open(self._run.log(self._rank, self._stream, segment), "rb")  # noqa: SIM115
        except FileNotFoundError:
            later = [s for s in self._segments() if s > segment]
            if not later:
                return b""
            self._at = later[0] * SEGMENT
            return self._read()
        with log:
            log.seek(offset)
            return log.read(min(self._batch, SEGMENT - offset))


class Follower:
    """Turns what appears in the run directory into events.

    Args:
        run: The run.
        world_size: Its number of ranks.
        lag: See `Tail`.
        scraped: The ranks whose numbers and bars are read from what they print.

    Attributes:
        ending: What is known of the end so far.
        ended: Whether the run is over and everything that it wrote has been returned.
    """

    def __init__(
        self,
        run: RunDir,
        world_size: int,
        lag: int | None = LAG,
        scraped: Iterable[int] = (0,),
    ) -> None:
        self.ending = Ending()
        self.ended = False
        self._run = run
        self._offset = 0
        self._running: set[int] = set()
        self._world_size = world_size
        streams: tuple[Stream, ...] = ("stdout", "stderr")
        self._tails = [Tail(run, r, s, lag) for r in range(world_size) for s in streams]
        self._displays = FollowedDisplays(run)
        self._reported = [Reported(run, rank) for rank in range(world_size)]
        self._scraped = {rank: Scrape(rank) for rank in scraped}

    def read(self) -> Iterator[Event]:
        """Return what has happened since the last call; all that there is, once the run ended."""
        news = list(self._news())
        over = any(n["ev"] == "ended" for n in news)
        for item in news:
            yield from self._event(item)
        for tail in self._tails:
            while (chunk := tail.read(skip=not over)) is not None:
                yield chunk
                yield from self._scrape(chunk)
                if not over:
                    break
        for reported in self._reported:
            yield from reported.read(whole=over)
        yield from self._displays.read(whole=over)
        self.ended = self.ended or over

    def _scrape(self, chunk: OutputChunk) -> Iterator[Event]:
        """Return what a chunk tells; reading it must not take the training with it."""
        if scrape := self._scraped.get(chunk.rank):
            try:
                yield from scrape.feed(chunk)
            except Exception:
                del self._scraped[chunk.rank]

    def _news(self) -> Iterator[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError), open(self._run.events, "rb") as events:
            events.seek(self._offset)
            for line in events:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                yield decoded(line)

    def _event(self, item: dict[str, Any]) -> Iterator[Event]:
        match item["ev"]:
            case "worker":
                self._start(item)
                yield WorkerStarted(
                    time=item["t"], rank=item["rank"], attempt=item["attempt"], pid=item["pid"]
                )
                if item["attempt"] and len(self.ending.announced) == 1:
                    yield Notice(time=item["t"], text=f"Attempt {item['attempt'] + 1} starts.")
            case "running":
                self._running.add(item["rank"])
                if len(self._running) == self._world_size:
                    yield StateChanged(time=item["t"], state=RunState.RUNNING)
            case "gone":
                yield WorkerExited(
                    time=item["t"],
                    rank=item["rank"],
                    attempt=item["attempt"],
                    exit_code=item["code"],
                )
                self.ending.announced[item["rank"]] = item["code"]
                self.ending.gone[item["rank"]] = item["t"]
            case "killed":
                self.ending.killed.update(item["ranks"])
            case "failed":
                self.ending.codes[item["rank"]] = item["code"]
            case "group":
                self.ending.grouped = item["used"]
            case "ended":
                self.ending.ok = item["ok"]
                self.ending.agent = item["agent"]
                self.ending.left = item["left"]
                self.ending.lost = item["lost"]
            case _:
                pass

    def _start(self, item: dict[str, Any]) -> None:
        if item["attempt"] > self.ending.attempt:
            self.ending.attempt = item["attempt"]
            for known in (self.ending.announced, self.ending.codes, self.ending.gone):
                known.clear()
            self.ending.killed.clear()
            self.ending.grouped = None
            self._running.clear()
        self.ending.announced[item["rank"]] = None
