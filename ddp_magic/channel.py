"""Runs in the kernel: what a page asks while a cell runs, heard on the kernel's control channel.

ipykernel has a thread of its own for that channel, since 6.0. A comm's messages come by the shell
channel: ipykernel 6 reads them when the cell has ended; 7 reads them on a thread beside the cell
where the page asks for one (a subshell), and runs IPython's hooks around each message, as around a
cell (ipykernel#1564); on the control channel it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["hear"]


def hear(kernel: Any, name: str, act: Callable[[object], None]) -> Callable[[], None] | None:
    """Have messages of this type reach us, on the channel's thread.

    Args:
        kernel: ipykernel's; None where there is none.
        name: The type, which no other message has.
        act: Gets a message's content.

    Returns:
        What ends it; None where no message would come before the cell's end.
    """
    handlers = getattr(kernel, "control_handlers", None)
    if not isinstance(handlers, dict) or getattr(kernel, "control_thread", None) is None:
        return None

    def handle(_stream: object, _sender: object, message: dict[str, Any]) -> None:
        act(message.get("content"))

    def end() -> None:
        handlers.pop(name, None)

    handlers[name] = handle
    return end
