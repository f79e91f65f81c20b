"""Where a worker's displays go: rank 0's to a file that the kernel reads, a line for each output.

Those of other ranks are text in their logs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import date
from json import JSONDecoder, JSONEncoder
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddp_magic.rundir import RunDir

__all__ = ["Printer", "Publisher"]

_ONE = 8 << 20
"""Bytes of one output; of a larger one only the text is shown."""
_SEGMENT = 16 << 20
"""Bytes after which another file is begun; the kernel removes those that it has read."""
_BEHIND = 4
"""Files that the kernel may be behind: what comes then is dropped."""
_TEXT = 20_000
"""Characters of an output's text where that is all that is shown."""


class Printer:
    """Prints the text of what is displayed, as IPython does outside of a kernel; not its updates.

    Attributes:
        is_publishing: As IPython's own has it.
    """

    is_publishing = False

    def publish(self, data: Mapping[str, Any], *_: Any, update: bool = False, **__: Any) -> None:
        """Print an output."""
        if "text/plain" in data and not update:
            print(data["text/plain"])

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's own
        """Do nothing: a log keeps what it has."""


class Publisher(Printer):
    """Writes what rank 0 displays; what IPython calls a display publisher.

    A process that the program forked shares nothing with the notebook: it prints.
    """

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._pid = os.getpid()
        self._lock = threading.RLock()  # a signal's handler may display too
        self._file: int | None = None
        self._lost = 0
        self._torn = False

    def publish(
        self,
        data: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        *_: Any,
        transient: Mapping[str, Any] | None = None,
        update: bool = False,
        **__: Any,
    ) -> None:
        """Write an output down, or what an earlier one is to be from now on.

        Raises:
            TypeError: It is no mime bundle, or JSON cannot hold it.
        """
        for given in (data, metadata or {}):
            if not isinstance(given, dict):
                raise TypeError(f"display() takes a dict of mime types, not {given!r}")
        if os.getpid() != self._pid:
            super().publish(data, update=update)
            return
        kind = "update" if update else "display"
        body, cut = _encoded([data, metadata or {}]), 0
        if len(body) > _ONE:
            text = str(data.get("text/plain", ""))[:_TEXT]
            body, cut = _encoded([{"text/plain": text}, {}]), len(body)
        self._write(kind, str((transient or {}).get("display_id") or ""), cut, body)

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's own
        """Take away what was displayed so far; what was printed stays."""
        if os.getpid() == self._pid:
            self._write("clear", "wait" if wait else "", 0, b"")

    def _write(self, kind: str, name: str, cut: int, body: bytes) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        with self._lock:
            if self._file is None and not self._open():
                self._lost += 1
                return
            assert self._file is not None
            head = _encoded([time.time(), kind, name, cut, self._lost])
            line = b"%s%s\t%s\n" % (b"\n" if self._torn else b"", head, body)
            with contextlib.suppress(OSError):  # a full disk
                self._torn = True
                self._torn = os.write(self._file, line) < len(line)
            if os.fstat(self._file).st_size > _SEGMENT:
                os.close(self._file)
                self._file, self._torn = None, False

    def _open(self) -> bool:
        """Open the newest file, or one behind it if that is full; not if the kernel is far behind.

        An attempt before this one may have written there.
        """
        found = [int(path.name.split(".")[-2]) for path in self._run.logs.glob("displays.*.jsonl")]
        newest = max(found, default=0)
        path = self._run.displays(newest)
        if path.exists() and path.stat().st_size > _SEGMENT:
            newest += 1
        if self._run.displays(max(0, newest - _BEHIND)).exists() and newest >= _BEHIND:
            return False
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        try:
            self._file = os.open(self._run.displays(newest), flags, 0o600)
        except OSError:
            return False
        return True


_STRANGE = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}


def _encoded(value: object) -> bytes:
    """Return a value as JSON, of what is no JSON what a kernel makes of it.

    Raises:
        TypeError: There is nothing that a kernel would make of it.
    """
    try:
        return _strict.encode(value).encode()
    except ValueError:
        return _strict.encode(_reader.decode(_lax.encode(value))).encode()


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return b64encode(value).decode("ascii")
        case date():
            return value.isoformat()
        case Iterable():
            return list(value)
        case Integral():
            return int(value)
        case Real():
            return float(value)
        case _:
            raise TypeError(f"{value!r} cannot be displayed: JSON does not know it")


_strict = JSONEncoder(default=_plain, allow_nan=False)
_lax = JSONEncoder(default=_plain)
_reader = JSONDecoder(parse_constant=_STRANGE.get)
