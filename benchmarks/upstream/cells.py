"""Runs cells in an IPython kernel, one after the other, and keeps what a user would have seen."""

from __future__ import annotations

import re

from jupyter_client.manager import start_new_kernel

__all__ = ["run"]


def run(sources: list[str], patience: float, cwd: str | None = None) -> tuple[str, list[str]]:
    """Return what the cells showed, and the lines of the first traceback, if one failed.

    A cell that has not ended after `patience` seconds counts as one that failed.
    """
    manager, client = start_new_kernel(cwd=cwd)
    shown: list[str] = []

    def show(message: dict[str, dict[str, str]]) -> None:
        shown.append(message["content"].get("text", ""))

    try:
        for source in sources:
            reply = client.execute_interactive(source, timeout=patience, output_hook=show)
            if reply["content"]["status"] == "error":
                trace = _plain("\n".join(reply["content"]["traceback"]))
                return _plain("".join(shown)), trace.strip().splitlines()
    except TimeoutError:
        return _plain("".join(shown)), [f"no end after {patience} s"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return _plain("".join(shown)), []


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
