"""Tries cases, each in a notebook of its own.

Runs as ``python -m tests.case_server HOW [MODULE...]``. It reads a case per line and writes a
`cases.Result` per line. Notebooks are forks of this process, which has imported IPython (and the
modules named, as torch) but run no cell. The body runs

=============  ==================================================================================
``reference``  in the notebook itself: that is what is to be recorded
``collector``  in a fresh process that `tests.case_ranks` makes: what is collected is what counts
``first``      through the real magic, which was loaded before the cells
``last``       through the real magic, which was loaded after them
``early``      as ``first``, with a worker that has waited since before the cells, with torch
``late``       as ``last``, with a worker that has imported what the cells import
=============  ==================================================================================
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.case_ranks import Ranks
from tests.case_streams import end_of, into, renew
from tests.cases import Result, Watch, possible, run_cells, shell

__all__ = ["attempt", "sources"]

_SECONDS = 120
_encode = json.JSONEncoder().encode
"""Not ``json.dumps``, which a case may have replaced."""


def attempt(cases: Iterable[dict[str, Any]], how: str) -> dict[str, Result]:
    """Try cases: those with torch in one server, the others in another beside it."""
    plain: list[dict[str, Any]] = []
    heavy: list[dict[str, Any]] = []
    for case in filter(possible, cases):
        (heavy if {"torch", "numpy"} & {*case.get("requires", [])} else plain).append(case)
    results: dict[str, Result] = {}
    preload = ["numpy", "torch"] if any("torch" in c["requires"] for c in heavy) else ["numpy"]
    threads = [
        threading.Thread(target=_serve, args=(group, [how, *modules], results))
        for group, modules in ((plain, []), (heavy, preload))
        if group
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def sources(case: dict[str, Any]) -> list[str]:
    """Return the texts of a case's cells."""
    return [cell if isinstance(cell, str) else cell["src"] for cell in case["cells"]]


def _serve(cases: list[dict[str, Any]], arguments: list[str], results: dict[str, Result]) -> None:
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-m", "tests.case_server", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    ) as server:
        for case in cases:
            server.stdin.write(json.dumps(case) + "\n")
            server.stdin.flush()
            answer = server.stdout.readline()
            results[case["id"]] = (
                Result(**json.loads(answer)) if answer else Result(broken="the server has died")
            )


def main() -> None:
    how, *modules = sys.argv[1:]
    for name in modules:
        importlib.import_module(name)
    if how == "collector":
        importlib.import_module("tests.collect_adapter")
        os.environ["PYTHONPATH"] = os.getcwd()
    ranks = Ranks(*modules) if how == "collector" else None
    gc.freeze()  # a look for garbage in a fork would copy every page that it sees
    for line in sys.stdin:
        case = json.loads(line)
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="case-", ignore_cleanup_errors=True) as name:
            result = _try(case, how, Path(name), ranks)
        result.seconds = time.monotonic() - began
        print(json.dumps(dataclasses.asdict(result)), flush=True)


def _try(case: dict[str, Any], how: str, work: Path, ranks: Ranks | None) -> Result:
    for name in ("notebook", "tmp", "ipython"):
        (work / name).mkdir()
    for name, text in case.get("files", {}).items():
        path = work / "notebook" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    pid = os.fork()
    if pid == 0:
        _become_notebook(case, how, work)
    status = end_of(pid, _SECONDS)
    try:
        told = json.loads((work / "result.json").read_text("utf-8"))
    except OSError:
        return Result(broken=f"the notebook's process ended with {status}{_read(work / 'err')}")
    job = told.pop("job", None)
    result = Result(**told)
    if job and ranks:
        code = ranks.run({**job, "out": str(work / "out"), "err": str(work / "err")})
        result.error = None if code == 0 else _read(work / "err") or f"exit code {code}"
    result.out, result.err = _read(work / "out"), _read(work / "err") + result.err
    probe = work / "probe"
    result.again = (probe.stat().st_size if probe.exists() else 0) - 1
    if result.again < 0 and not result.broken:
        result.broken = "the cell that counts did not run"
    return result


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace") if path.exists() else ""


def _become_notebook(case: dict[str, Any], how: str, work: Path) -> None:
    told: dict[str, Any] = {}
    try:
        os.setsid()
        os.chdir(work / "notebook")
        os.environ.update(
            IPYTHONDIR=str(work / "ipython"),
            TMPDIR=str(work / "tmp"),
            MPLCONFIGDIR=str(work / "matplotlib"),
            CUDA_VISIBLE_DEVICES="",
            NO_COLOR="1",
            DDP_MAGIC_STANDBY="0",
            **case.get("env", {}),
        )
        tempfile.tempdir = None
        sys.argv[:] = [""]
        sys.path[0] = ""
        into(work / "cells.out", work / "cells.err")
        renew()
        told = _play(case, how, work)
    except BaseException:
        told = {"broken": traceback.format_exc()}
    (work / "result.json").write_text(_encode(told), "utf-8")
    sys.stdout.flush()
    os._exit(0)


def _play(case: dict[str, Any], how: str, work: Path) -> dict[str, Any]:
    standby = importlib.import_module("tests.case_standby") if how in ("early", "late") else None
    made = shell()
    if how in ("first", "early"):
        made.run_line_magic("load_ext", "ddp_magic")
    if how == "early":
        standby.begin(made, ["import torch"])
    run_cells(made, case, work / "probe")
    if how in ("last", "late"):
        made.run_line_magic("load_ext", "ddp_magic")
    if how == "late":
        standby.begin(made, sources(case))
    watch = Watch(work / "tmp", case.get("forbid_in_artifacts", ()))
    if how == "collector":
        return _collect(made, case, watch)
    sys.stdout.flush()
    sys.stderr.flush()
    into(work / "out", work / "err")
    cold = None
    if how == "reference":
        made.ast_node_interactivity = "none"
        result = made.run_cell(case["body"], store_history=True)
    else:
        watch.start()
        result = made.run_cell("%%ddp --nproc 1\n" + case["body"], store_history=True)
        cold = standby.why_cold(made) if standby else None
        made.run_line_magic("unload_ext", "ddp_magic")
        watch.stop()
    error = result.error_before_exec or result.error_in_exec
    told = _text(error) if error else None
    return {"error": told, "found": sorted(watch.found), "most": watch.most, "cold": cold}


def _collect(made: Any, case: dict[str, Any], watch: Watch) -> dict[str, Any]:
    from ddp_magic.collect import How
    from ddp_magic.rundir import RunDir
    from tests.collect_adapter import define

    run = RunDir.create(Path(os.environ["TMPDIR"]) / "run-1")
    try:
        definitions = define(made, case["body"], run)
    except Exception as error:
        return {"error": _text(error)}
    watch.look()
    written = [i for i in definitions.items if i.kind in ("function", "class")]
    return {
        "err": "".join(f"note: {note}\n" for note in definitions.notes),
        "found": sorted(watch.found),
        "most": watch.most,
        "sourced": [i.name for i in written if i.how is How.SOURCE],
        "valued": {i.name: i.why for i in written if i.how is How.VALUE},
        "job": {"run": str(run.path), "cwd": os.getcwd(), "env": dict(os.environ)},
    }


def _text(error: BaseException) -> str:
    return "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
