"""The lines of the generated module that call us; runs in the kernel, read in every worker.

They import by expression, so that no name of ours is in the user's namespace, and pass no
``globals()``, which the user may have bound to something else.
"""

from __future__ import annotations

__all__ = [
    "BODY",
    "FINAL",
    "begun",
    "finished",
    "given",
    "kept",
    "refilled",
    "remade",
    "run",
    "set_up",
    "started",
    "taken",
]

BODY = "text of the cell"
"""The segment of a body that holds a key."""
FINAL = "state of the process"
"""The last segment."""


def begun() -> str:
    """Return the module's first statement: search path, submodules, the file of values."""
    return _call("values", "begin")


def taken(key: str) -> str:
    """Return the expression that gives the next value."""
    return _call("values", "take", _quoted(key))


def kept(key: str) -> str:
    """Return the statement that keeps the next value for a call in the body."""
    return _call("values", "keep", _quoted(key))


def given(key: str) -> str:
    """Return the expression that gives what was kept."""
    return _call("values", "argument", _quoted(key))


def refilled(target: str, key: str) -> str:
    """Return the statement that puts the next value into an imported container."""
    return _call("values", "refill", f"{target}, {_quoted(key)}")


def set_up(label: str, first_line: int) -> str:
    """Return the statement that runs the setup cell whose text is the next value."""
    return _call("setups", "run", f"{_quoted(label)}, {first_line}, {taken(label)}")


def started() -> str:
    """Return the statement that trains with what a factory has made, if that is to be called."""
    return _call("training", "start", "trainer")


def remade(taken: str) -> str:
    """Return the expression that makes a trainer anew which the notebook has made.

    Args:
        taken: The trainer, and what it is made with besides its own settings.
    """
    return _call("remaking", "remake", taken)


def finished() -> str:
    """Return the last of the definitions: random generators, and the file is closed."""
    return _call("values", "finish", _quoted(FINAL))


def run() -> str:
    """Return the statement below ``if __name__ == "__main__":``."""
    return _call("program", "main")


def _quoted(key: str) -> str:
    plain = key.isprintable() and '"' not in key and "\\" not in key
    return f'"{key}"' if plain else repr(key)


def _call(module: str, function: str, arguments: str = "") -> str:
    return (
        f'__import__("ddp_magic.worker.{module}", fromlist=["{function}"]).{function}({arguments})'
    )
