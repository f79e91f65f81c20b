"""Collection cases: what the body prints in a rank is what it prints in the shell.

`data/cases_*.json` holds them, with expectations recorded from one in-process shell (see `cases`).
The basic ones go through the real magic, to a worker that starts and to one that has waited, all
others through the collector and a fresh process. torch's launcher starts those to which it might
make a difference.
``benchmarks/cases.py`` tries any of them either way, and records.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import case_standby, cases
from tests.case_server import attempt, sources

DATA = Path(__file__).parent / "data"
BASIC = cases.read(DATA / "cases_basic.json")
LAUNCHED = {"basic-torch-train", "basic-name-error", "proc-cwd", "proc-environ"}
OWN = cases.read(*sorted({*DATA.glob("cases_*.json")} - {DATA / "cases_basic.json"}))


@pytest.mark.workers
# cells leave files open, as people's do
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("case", BASIC, ids=[case["id"] for case in BASIC])
@pytest.mark.parametrize("how", ["cold", "warm"])
def test_a_case_means_in_the_rank_what_it_means_in_the_notebook(
    case, how, request, notebook, monkeypatch, tmp_path, nothing_left
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("NO_COLOR", "1")
    for name, value in case.get("env", {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    if case["id"] not in LAUNCHED:
        request.getfixturevalue("light")
    probe = tmp_path / "probe"
    cases.run_cells(notebook.shell, case, probe)
    if how == "warm":
        request.getfixturevalue("waiting")
        case_standby.begin(notebook.shell, sources(case))
    watch = cases.Watch(nothing_left, case.get("forbid_in_artifacts", ()))
    watch.start()

    shown = notebook.run_raw("%%ddp --nproc 1\n" + case["body"])

    watch.stop()
    result = cases.Result(
        out=shown.out,
        err=shown.err,
        error=shown.told if shown.error else None,
        again=probe.stat().st_size - 1,
        found=sorted(watch.found),
        most=watch.most,
    )
    assert not cases.fault(case, result)
    assert how == "cold" or case_standby.why_cold(notebook.shell) == ""


@pytest.fixture(scope="module")
def results(request, tmp_path_factory):
    """Results of all cases that were asked for, by id: two servers try them one after the other."""
    asked = {
        item.callspec.params["own"]["id"]
        for item in request.session.items
        if "own" in getattr(item, "callspec", item).__dict__.get("params", {})
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("cases")))
        return attempt([case for case in OWN if case["id"] in asked], "collector")


@pytest.mark.slow
@pytest.mark.parametrize("own", OWN, ids=[case["id"] for case in OWN])
def test_what_a_case_reaches_is_collected(own, results):
    if not cases.possible(own):
        pytest.skip(f"needs {own['requires']}")

    assert not cases.fault(own, results[own["id"]])


def test_each_case_has_a_name_of_its_own_and_was_recorded():
    every = [*BASIC, *OWN]

    assert len({case["id"] for case in every}) == len(every)
    assert all(case["level"] in cases.LEVELS and "stdout" in case["reference"] for case in every)
