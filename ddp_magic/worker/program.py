"""The user's program in a rank: definitions, then the cell's body; runs in every worker.

Everything is compiled under the notebook's names, so that tracebacks, warnings and stacks say
``Cell In[3], line 5`` by themselves. Imports nothing of the kernel's side.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import os
import sys
import warnings
from functools import cached_property
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from ddp_magic.pickling import Sender
from ddp_magic.rundir import RunDir
from ddp_magic.sourcemap import SourceMap
from ddp_magic.worker import listing, loop, setups, training
from ddp_magic.worker.body import compiled
from ddp_magic.worker.frameworks.trainers import summary
from ddp_magic.worker.values import kept

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NO_VALUE", "Program", "main"]

_BODY = "text of the cell"  # collect.lines.BODY, of the other side
NO_VALUE: Final = object()
"""What a body gives that does not end in an expression."""


class Program:
    """One run's program, in a fresh ``__main__``.

    Attributes:
        namespace: The dict of ``__main__``: what globals are to the user's code.
    """

    def __init__(self, run: RunDir, namespace: dict[str, Any] | None = None) -> None:
        self._run = run
        self._about: dict[str, Any] = json.loads(run.program.read_bytes())
        self._sources: dict[int, tuple[str, Any]] = {}
        self._trained: object = NO_VALUE
        self._alone = False
        self.namespace = _fresh_main(str(run.main)) if namespace is None else namespace

    @property
    def values(self) -> list[str]:
        """The names that came from the notebook by value."""
        return self._about["values"]

    def define(self) -> None:
        """Run the generated module up to its guard: definitions, and values loaded."""
        source_map = SourceMap.read(self._run.source_map)
        text = self._run.main.read_text(encoding="utf-8")
        listing.fill(source_map, str(self._run.main), text, self._about["classes"])
        for code in list(self._pieces(text, source_map)):  # they may set warning filters
            self._execute(code)
        # what came by source goes back by name; a setup cell may have made it or not
        there = [name for name in self._about["sources"] if name in self.namespace]
        sources = ((name, self.namespace[name]) for name in there)
        self._sources = {id(value): (name, value) for name, value in sources}
        listing.number_classes(self.namespace, source_map, self._about["classes"])

    def _execute(self, code: CodeType) -> None:
        try:
            exec(code, self.namespace)
        except Exception as error:
            self._explain(error)
            if code.co_filename in self._about["setups"]:
                setups.note(error, code.co_filename)
            raise

    @property
    def trains(self) -> bool:
        """Whether --trainer names what is to train, before the body and in every rank."""
        return bool(self._about["head"])

    def train(self) -> None:
        """Run what --trainer stands for, in which all ranks take part."""
        self._trained = self._drive(0)

    def go_alone(self, rank: int) -> None:
        """Leave the process group: the training is over, and rank 0 alone runs the body."""
        training.leave_group()
        self._alone = True
        if rank:
            loop.close()

    def body(self) -> object:
        """Run the cell's body; return its last expression's value, `NO_VALUE` without one.

        Without a body the trainer's own result is the value, or a summary where it gives none.
        """
        try:
            value = self._drive(1)
        finally:
            loop.close()
        if self._codes[1]:
            return value
        told = summary(self.namespace.get("trainer")) if self._trained is None else None
        return told or self._trained

    @cached_property
    def _codes(self) -> tuple[list[CodeType], list[CodeType]]:
        return compiled(self._text(), self._about)

    def _drive(self, part: int) -> object:
        try:
            codes = self._codes[part]
            value = loop.run(codes, self.namespace)
            if part == 0:
                value = loop.finished(value)
        except BaseException as error:
            self._explain(error)
            raise
        return value if len(codes) > 1 else NO_VALUE

    def sender(self) -> Sender:
        """Return how this worker writes what the kernel will read."""
        filenames: dict[str, str] = self._about["filenames"]
        return Sender(
            main=self.namespace,
            definition=lambda obj: self._sources.get(id(obj), (None,))[0],
            filename=lambda name: filenames.get(name, name),
            to_kernel=True,
        )

    def _pieces(self, text: str, source_map: SourceMap) -> Iterator[CodeType]:
        """Compile each definition under its cell's name and line numbers."""
        with warnings.catch_warnings(action="ignore"):  # the notebook has shown them
            tree = ast.parse(text, self._run.main.name)
            for statement in tree.body[:-1]:
                region = source_map.region(statement.lineno)
                if region:
                    ast.increment_lineno(statement, region.shift)
                name = region.label if region else str(self._run.main)
                module = ast.Module([statement], [])
                yield compile(module, name, "exec", self._about["flags"], dont_inherit=True)

    def _text(self) -> str:
        """Return the body's text: that of the file, unless it has a key, which stands in none."""
        if _BODY in self._about["segments"]:
            return kept(self.namespace["__file__"], _BODY)
        with open(self._run.body, encoding="utf-8", errors="surrogatepass", newline="") as file:
            return file.read()

    def _explain(self, error: BaseException) -> None:
        """Say of a name that was left out why it was."""
        seen: set[int] = set()
        cause: BaseException | None = error
        while cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            why = self._about["left_out"].get(getattr(cause, "name", None))
            if isinstance(cause, NameError) and why:
                cause.add_note(f"%%ddp could not send it: {why}")
            elif self._alone and (why := training.why(cause)):
                cause.add_note(why)
                return
            cause = cause.__cause__ or cause.__context__


def _fresh_main(path: str) -> dict[str, Any]:
    module = ModuleType("__main__")
    # multiprocessing's spawn imports the file again only if there is no __spec__
    module.__dict__.update(__file__=path, __builtins__=builtins, __spec__=None)
    sys.modules["__main__"] = module
    return module.__dict__


def main() -> None:
    """Run the body in the module that calls this: a kept main.py that was started by hand."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    namespace = frame.f_back.f_globals
    program = Program(RunDir(Path(namespace["__file__"]).parent), namespace)
    if program.trains:
        rank = int(os.environ.get("RANK", "0"))
        program.train()
        program.go_alone(rank)
        if rank:
            return
    program.body()
