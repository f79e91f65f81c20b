"""The user's program in a rank: definitions, then the cell's body; runs in every worker.

Everything is compiled under the notebook's names, so that tracebacks, warnings and stacks say
``Cell In[3], line 5`` by themselves. Imports nothing of the kernel's side.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import sys
import warnings
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from ddp_magic.futures import future_flags
from ddp_magic.pickling import Sender
from ddp_magic.rundir import RunDir
from ddp_magic.sourcemap import SourceMap
from ddp_magic.worker import arguments, listing, loop, setups
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

    def body(self) -> object:
        """Run the cell's body; return its last expression's value, `NO_VALUE` without one."""
        try:
            codes = list(self._body_codes())
            value = loop.run(codes, self.namespace)
        except BaseException as error:
            self._explain(error)
            raise
        finally:
            loop.close()
        return value if len(codes) > 1 else NO_VALUE

    def sender(self) -> Sender:
        """Return how this worker writes what the kernel will read."""
        filenames: dict[str, str] = self._about["filenames"]
        return Sender(
            main=self.namespace,
            definition=lambda obj: self._sources.get(id(obj), (None,))[0],
            filename=lambda name: filenames.get(name, name),
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

    def _body_codes(self) -> Iterator[CodeType]:
        """Compile the statements, then the last expression if the body has a value."""
        text = self._text()
        flags = self._about["flags"] | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        label, first = self._about["label"], self._about["first_line"]
        with warnings.catch_warnings(action="ignore"):  # the kernel has shown them
            only = flags | ast.PyCF_ONLY_AST
            tree: ast.Module = compile(text, label, "exec", only, dont_inherit=True)
            ast.increment_lineno(tree, first - 1)
            arguments.put(tree, self._about["arguments"])
            last = tree.body[-1] if tree.body else None
            valued = isinstance(last, ast.Expr) and not listing.ends_in_semicolon(text)
            rest = ast.Module(tree.body[:-1] if valued else tree.body, [])
            code = compile(rest, label, "exec", flags, dont_inherit=True)
            yield code
            if valued:
                assert isinstance(last, ast.Expr)
                # the body's own __future__ imports hold for its last line too
                flags |= future_flags(code.co_flags)
                expression = ast.Expression(last.value)
                yield compile(expression, label, "eval", flags, dont_inherit=True)

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
    Program(RunDir(Path(namespace["__file__"]).parent), namespace).body()
