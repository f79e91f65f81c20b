"""Tries collection cases and counts: what the body prints in a rank is what it prints in the shell.

    python benchmarks/cases.py [FILE...] [--how collector|first|last] [--only GLOB] [--level L]
    python benchmarks/cases.py FILE --record

``collector`` runs what was collected in a fresh process, without a launcher; ``first`` and ``last``
use the real magic, loaded before or after the notebook's cells. Without a file: the tests' own.
``--record`` stores what one real shell prints as the expectation.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
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
    results: dict[str, Result] = {}
    for start in range(0, len(todo), _MANY):
        group = todo[start : start + _MANY]
        results.update(attempt(group, options.how))
        tell_faults(group, results)
    tell(todo, results, options.how)
    if missing:
        print(f"left out, as what they require is not installed: {', '.join(missing)}")
    return any(cases.fault(case, results[case["id"]]) for case in todo)


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
