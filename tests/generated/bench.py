"""Runs generated notebooks and compares; runs as ``python -m tests.generated.bench``.

Each notebook is a fork of this process, which has a real IPython shell that ran no cell; its body
runs there, after collection, and in a fresh worker (`ranks`). `Bench` is the client.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.generated.notebook import Notebook

__all__ = ["Bench", "Outcome"]

_SECONDS = 20
_ADDRESS = re.compile(r"0x[0-9a-f]+")
_SIZE = re.compile(r", [\d.]+ [kMG]?B\b")
"""Some objects of the standard library get an empty ``__dict__`` when it is asked for."""
_ROOT = Path(__file__).parent.parent.parent
_LIBRARY = Path(__file__).parent / "library"


@dataclass(kw_only=True)
class Outcome:
    """What came of one notebook.

    Attributes:
        failure: What kind of thing went wrong; None where notebook and worker agree.
        detail: More of it, for people.
        reference: What the body printed in the notebook.
        worker: What it printed in the worker.
        module: The generated module.
        cells: What each cell raised.
        names: What was collected.
        how: Counts of items by how they travelled.
        whys: Counts of reasons for which definitions went by value.
        facts: Counts of what the values held.
    """

    failure: str | None = None
    detail: str = ""
    reference: str = ""
    worker: str = ""
    module: str = ""
    cells: list[str | None] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    how: dict[str, int] = field(default_factory=dict)
    whys: dict[str, int] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """All of it, for a failure's message."""
        text = f"{self.failure}: {self.detail}\n"
        if len(self.reference + self.worker) > 2000:
            text += "(both print more than is shown here)\n"
        elif self.reference or self.worker:
            text += f"--- in the notebook\n{self.reference}--- in the worker\n{self.worker}"
        return text + f"--- the module\n{self.module}"


class Bench:
    """The client: one notebook after the other.

    Args:
        fresh: Whether workers are new interpreters instead of forks of a clean process.
    """

    def __init__(self, *, fresh: bool = False) -> None:
        path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.generated.bench", *(["fresh"] if fresh else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": path},
        )

    def run(self, notebook: Notebook) -> Outcome:
        """Run and compare one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(notebook.to_json() + "\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the processes."""
        self._process.communicate(timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    for name in (
        "asyncio",
        "ssl",
        "hashlib",
        "IPython.core.logger",
        "ddp_magic.overrides",
        "tests.collect_adapter",
        "tests.generated.snapshot",
    ):
        importlib.import_module(name)  # before the forks
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.ast_node_interactivity = "none"
    ranks = None if "fresh" in sys.argv else _start_ranks()
    shell = InteractiveShell.instance(config=config)
    shell.showtraceback = lambda *_args, **_named: None
    shell.showsyntaxerror = lambda *_args, **_named: None
    sys.path.insert(1, str(_LIBRARY))
    answers = os.fdopen(os.dup(1), "w")
    gc.freeze()  # a look for garbage in a fork would copy every page that it sees
    for line in sys.stdin:
        folder = Path(tempfile.mkdtemp(prefix="generated-"))
        try:
            outcome = _try(shell, Notebook.from_json(line), folder, ranks)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        answers.write(json.dumps(asdict(outcome)) + "\n")
        answers.flush()


def _start_ranks() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.generated.ranks"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _try(shell: Any, notebook: Notebook, folder: Path, ranks: Any) -> Outcome:
    pid = os.fork()
    if pid == 0:
        _become_notebook(shell, notebook, folder)
    os.waitpid(pid, 0)
    answer = folder / "outcome.json"
    if not answer.exists():
        return Outcome(failure="the notebook's process has died")
    outcome = Outcome(**json.loads(answer.read_text("utf-8")))
    if outcome.failure is None:
        _run_rank(folder / "run-1", ranks)
        _compare(outcome, folder / "run-1")
    return outcome


def _run_rank(run: Path, ranks: Any) -> None:
    if ranks is None:
        command = [sys.executable, "-m", "tests.generated.ranks", str(run)]
        subprocess.run(command, check=True, timeout=60)
        return
    ranks.stdin.write(f"{run}\n")
    ranks.stdin.flush()
    ranks.stdout.readline()


def _compare(outcome: Outcome, run: Path) -> None:
    told, error = run / "told.json", None
    out = (run / "told.txt").read_text("utf-8") if (run / "told.txt").exists() else ""
    if not told.exists():
        outcome.failure, outcome.worker = "the worker has died", out
        return
    found = json.loads(told.read_text("utf-8"))
    error = found["error"]
    if error:
        out += _error_line(error[0], error[1])
    outcome.worker = out
    if found["stage"] == "values":
        text = re.sub(r"'[^']*'|\b\w*\d\b", "_", error[1].split("\n")[0])[:80]
        outcome.failure = f"the worker cannot load: {error[0]}: {text}"
        outcome.detail = error[2]
    elif _ADDRESS.sub("0x", out) != _ADDRESS.sub("0x", outcome.reference):
        lines = zip(outcome.reference.splitlines(), out.splitlines(), strict=False)
        one, other = next(((a, b) for a, b in lines if a != b), ("", ""))
        start = max(0, len(os.path.commonprefix([one, other])) - 60)  # noqa: RUF071 - of two texts
        first = f"\n  {one[start:][:200]}\n  {other[start:][:200]}\n"
        outcome.failure = "the worker tells something else"
        outcome.detail = first + (error[2] if error else "")


def _error_line(kind: str, text: str) -> str:
    text = _ADDRESS.sub("0x", text)
    return f"raised {kind}\n" if kind == "RecursionError" else f"raised {kind}: {text}\n"


def _become_notebook(shell: Any, notebook: Notebook, folder: Path) -> None:
    signal.alarm(_SECONDS)
    outcome = Outcome()
    os.chdir(folder)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            sys.stderr = nowhere
            _play(shell, notebook, folder, outcome)
    except BaseException:
        outcome.failure = "the bench has failed"
        outcome.detail = traceback.format_exc()
    (folder / "outcome.json").write_text(json.JSONEncoder().encode(asdict(outcome)), "utf-8")
    os._exit(0)


def _play(shell: Any, notebook: Notebook, folder: Path, outcome: Outcome) -> None:
    from tests.generated.snapshot import Snapshot

    if notebook.kernel_names:
        shell.compile.get_code_name = _kernel_name
    for cell in notebook.cells:
        error = _run(shell, cell)[1]
        outcome.cells.append(error)
    space = {n: v for n, v in shell.user_ns.items() if shell.user_ns_hidden.get(n) is not v}
    before = Snapshot(space)
    first = _collect(shell, notebook, folder / "run-1", outcome)
    if first is None:
        return
    after = Snapshot({n: v for n, v in shell.user_ns.items() if n in space})
    if changes := before.changes(after):
        outcome.failure, outcome.detail = "collecting has changed the notebook", "\n".join(changes)
        return
    again = _collect(shell, notebook, folder / "run-2", outcome)
    if again is not None and _SIZE.sub("", first) != _SIZE.sub("", again):
        pairs = zip(first.split("\n"), again.split("\n"), strict=False)
        outcome.failure = "a second collection differs"
        outcome.detail = "\n".join(f"\n  {a}\n  {b}" for a, b in pairs if a != b)
        return
    for name, text in notebook.overrides:
        shell.user_ns[name] = eval(text)
    reached = {n: space[n] for n in outcome.names if n in space}
    outcome.facts = dict(Snapshot(reached).facts(shell.user_ns))
    out, error = _run(shell, notebook.body)
    outcome.reference = out + (f"raised {error}\n" if error else "")


def _kernel_name(raw: str, _transformed: str, _number: int) -> str:
    import zlib

    return f"/tmp/ipykernel_1/{zlib.crc32(raw.encode('utf-8', 'surrogatepass'))}.py"


def _run(shell: Any, cell: str) -> tuple[str, str | None]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        result = shell.run_cell(cell, store_history=True)
    error = result.error_before_exec or result.error_in_exec
    told = _error_line(type(error).__name__, str(error)).removeprefix("raised ") if error else None
    return out.getvalue(), told and told.rstrip("\n")


def _collect(shell: Any, notebook: Notebook, path: Path, outcome: Outcome) -> str | None:
    from ddp_magic import script
    from ddp_magic.collect import Cell, Collector
    from ddp_magic.errors import CollectError
    from ddp_magic.overrides import Bound
    from ddp_magic.rundir import RunDir
    from tests.collect_adapter import FakeNotebook

    run = RunDir.create(path)
    cell = Cell(label=f"Cell In[{shell.execution_count}]", body=notebook.body, first_line=1)
    collector = Collector(cell, FakeNotebook(shell), run)
    bounds = [
        Bound(text=f"{name}={text}", target=name, value=eval(text), kind="global", name=name)
        for name, text in notebook.overrides
    ]
    try:
        collector.gather()
        definitions = collector.finish(bounds)
    except CollectError as error:
        outcome.failure, outcome.detail = "refused", str(error)
        return None
    except Exception as error:
        outcome.failure = f"collection raises {type(error).__name__}"
        outcome.detail = traceback.format_exc()
        return None
    script.write(definitions, run, header=["a test"])
    outcome.module = run.main.read_text("utf-8")
    outcome.how = dict(Counter(f"{i.how} {i.kind}".strip() for i in definitions.items))
    outcome.names = [i.name for i in definitions.items]
    outcome.whys = dict(Counter(i.why for i in definitions.items if i.why))
    left = "".join(f"# left out: {n}: {why}\n" for n, why in definitions.left_out.items())
    outcome.module += left
    return outcome.module + "".join(definitions.notes)


if __name__ == "__main__":
    main()
