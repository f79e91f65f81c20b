"""Tries collection cases and counts: what the body prints in a rank is what it prints in the shell.

    python benchmarks/cases.py [FILE...] [--how collector|first|last] [--only GLOB] [--level L]
    python benchmarks/cases.py [FILE...] [--how first|last] --standby|--compare
    python benchmarks/cases.py FILE --record

``collector`` runs what was collected in a fresh process, without a launcher; ``first`` and ``last``
use the real magic, loaded before or after the notebook's cells. Without a file: the tests' own.
With ``--standby`` a worker has waited, for ``first`` since before the notebook's cells; with
``--compare`` each case runs both ways, and what differs is told.
``--record`` stores what one real shell prints as the expectation.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setting import ROOT, describe, table

from tests import cases
from tests.case_server import attempt

if TYPE_CHECKING:
    from tests.cases import Result

_MANY = 40
"""Cases for one server: a long list through the magic is told piece by piece."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--how", choices=("collector", "first", "last"), default="collector")
    parser.add_argument("--only", default="*", help="a pattern of ids")
    parser.add_argument("--level", choices=cases.LEVELS)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--standby", action="store_true")
    parser.add_argument("--compare", action="store_true")
    options = parser.parse_args()
    files = options.files or sorted((ROOT / "tests" / "data").glob("cases_*.json"))
    chosen = [
        case
        for case in cases.read(*files)
        if fnmatch.fnmatch(case["id"], options.only) and options.level in (None, case["level"])
    ]
    if options.record:
        return max(record(file, options.only) for file in files)
    describe()
    missing = [case["id"] for case in chosen if not cases.possible(case)]
    todo = [case for case in chosen if case["id"] not in missing]
    bad = False
    tried: list[dict[str, Result]] = []
    for how in ways(options):
        results: dict[str, Result] = {}
        for start in range(0, len(todo), _MANY):
            group = todo[start : start + _MANY]
            results.update(attempt(group, how))
            tell_faults(group, results)
        tell(todo, results, how)
        tried.append(results)
        bad = bad or any(cases.fault(case, results[case["id"]]) for case in todo)
    if missing:
        print(f"left out, as what they require is not installed: {', '.join(missing)}")
    return (options.compare and compare(*tried)) or bad


def ways(options: argparse.Namespace) -> list[str]:
    """Return the ways in which the case server is to try all cases, one after the other."""
    if not options.standby and not options.compare:
        return [options.how]
    cold = "first" if options.how == "first" else "last"
    warm = {"first": "early", "last": "late"}[cold]
    return [cold, warm] if options.compare else [warm]


def compare(cold: dict[str, Result], warm: dict[str, Result]) -> bool:
    """Tell which cases came to something else on a worker that had waited."""
    shown = {
        name: [
            (cases.normal(r.out), first(r.error), notes(r.err)) for r in (cold[name], warm[name])
        ]
        for name in cold
    }
    different = [name for name, (one, other) in shown.items() if one != other]
    for name in different:
        print(f"{name}\n  cold: {shown[name][0]}\n  warm: {shown[name][1]}")
    print(f"{len(different)} of {len(cold)} cases came to something else on a waiting worker")
    return bool(different)


def record(file: Path, only: str) -> int:
    """Store what a real shell prints; say where a case does not mean what it expects."""
    read = cases.read(file)
    todo = [c for c in read if fnmatch.fnmatch(c["id"], only) and cases.possible(c)]
    results = attempt(todo, "reference")
    faults = 0
    for case in todo:
        result = results[case["id"]]
        case["reference"] = {"stdout": cases.normal(result.out), "error": first(result.error)}
        prints = case["expect"]["kind"] == "stdout" or case["expect"].get("or_stdout")
        policy = "policy" in case or case["id"].startswith("bad-")
        if result.broken or (bool(result.error) == bool(prints) and not policy):
            faults += 1
            print(f"{case['id']}: {result.broken or result.error or result.out}")
    file.write_text(json.dumps(read, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return faults


def notes(text: str) -> str:
    """Leave out how long a run took, and the random part of its directory's name."""
    return re.sub(r"\d+\.\d s\b|(case|ddp_magic)-\w+", "", text)


def first(error: str | None) -> str | None:
    return error and error.splitlines()[0]


def tell_faults(todo: list[dict[str, Any]], results: dict[str, Result]) -> None:
    for case in todo:
        fault = cases.fault(case, results[case["id"]])
        if fault:
            print(f"{case['level']:7} {case['id']}: {fault}", flush=True)


def tell(todo: list[dict[str, Any]], results: dict[str, Result], how: str) -> None:
    """Print the counts by level, and how functions and classes went."""
    rows = [("level", "cases", "pass", "silently wrong", "median s")]
    for level in (*cases.LEVELS, "all"):
        group = [c for c in todo if level in (c["level"], "all")]
        if not group:
            continue
        faults = {c["id"]: cases.fault(c, results[c["id"]]) for c in group}
        wrong = sum(fault.startswith("printed") for fault in faults.values())
        seconds = sorted(results[c["id"]].seconds for c in group)[len(group) // 2]
        good = sum(not fault for fault in faults.values())
        rows.append((level, str(len(group)), str(good), str(wrong), f"{seconds:.2f}"))
    print(f"\n{how}:")
    table(rows)
    reasons = Counter(r.cold for r in results.values() if r.cold is not None)
    if reasons:
        table(
            [("cold, because", "number"), *((w or "- (warm)", str(n)) for w, n in reasons.items())]
        )
    sourced = sum(len(r.sourced) for r in results.values())
    whys = Counter(why for r in results.values() for why in r.valued.values())
    if sourced:
        print(f"{sourced} functions and classes by source, {whys.total()} by value:")
        table(
            [
                ("by value, because it", "number"),
                *((w or "-", str(n)) for w, n in whys.most_common()),
            ]
        )


if __name__ == "__main__":
    sys.exit(main())
