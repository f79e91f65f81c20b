"""What a pickler knows of its process and of the other one; in the kernel and every worker."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from ddp_magic.pickling import keyed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ddp_magic.pickling.blobs import BlobWriter
    from ddp_magic.pickling.loans import BlobReader

__all__ = ["Draft", "Receiver", "Sender"]


def _no_definition(_: Any) -> None:
    return None


def _same_name(filename: str) -> str:
    return filename


def _ignore(_: Any) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Sender:
    """What a pickler needs to know of its process and of the receiver."""

    main: dict[str, Any]
    """The notebook's (or the rank's) namespace: functions keep the receiver's in its place."""
    blobs: BlobWriter | None = None
    """Where large buffers go."""
    definition: Callable[[Any], str | None] = _no_definition
    """Gives the name of a function or class that the receiver has by source."""
    filename: Callable[[str], str] = _same_name
    """Gives the receiver's name of a code object's file, as ``Cell In[3]``."""
    by_value: Callable[[Any], None] = _ignore
    """Is told of each function and class that is written whole."""
    foreign: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    """Namespaces other than `main` (by id), so that their functions go on sharing them."""
    harmless: set[type] = field(default_factory=set[type])
    """Types that need no check."""
    made: Mapping[int, str] = field(default_factory=dict[int, str])
    """Objects (by id) that the receiver makes itself, and the expression that gives them there;
    an empty one where that is too late."""
    anew: Mapping[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    """Objects (by id) that the receiver makes anew, and the attributes that arrive until then."""
    holders: keyed.Holders = field(default_factory=keyed.Holders)
    """What stands for dicts and sets whose keys say their own hash."""
    imported: Mapping[int, Callable[[], str]] = field(
        default_factory=dict[int, "Callable[[], str]"]
    )
    """Objects (by id) that the receiver imports; called where one is met, each tells its name."""
    packages: set[str] = field(default_factory=set[str])
    """Top-level packages whose types were written."""
    modules: set[str] = field(default_factory=set[str])
    """Modules that were written, by reference."""
    to_kernel: bool = False
    """Whether the kernel reads it; ranks take nothing that was set up for one process."""

    def with_blobs(self, blobs: BlobWriter) -> Self:
        """Return the same with another place for buffers."""
        return replace(self, blobs=blobs)


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """What an unpickler needs to know of its process."""

    main: dict[str, Any]
    """This process's ``__main__`` namespace."""
    blobs: BlobReader | None = None
    """Where large buffers come from."""
    definitions: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The functions and classes that a pickle refers to by name."""
    devices: bool = False
    """Whether tensors of a GPU go to this process's current GPU again, else stay on the CPU."""

    def with_blobs(self, blobs: BlobReader) -> Self:
        """Return the same with another place for buffers."""
        return replace(self, blobs=blobs)


class Draft:
    """A file for a pickler that keeps the pieces without copying large ones."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.nbytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take a piece in."""
        piece = data if type(data) is bytes else bytes(data)
        self.chunks.append(piece)
        self.nbytes += len(piece)
        return len(piece)
