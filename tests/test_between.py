"""Names are bound between cells, never in the middle of one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddp_magic.between import Between


@pytest.fixture
def bound():
    return {}


@pytest.fixture
def between(bound):
    return Between(bound.update)


def test_names_are_bound_at_once_where_no_cell_runs(between, bound):
    assert between.bind({"a": 1})
    assert bound == {"a": 1}


def test_names_wait_for_the_end_of_the_cell_and_come_in_their_order(between, bound):
    cell = object()
    between.cell_begins(cell)

    assert not between.bind({"a": 1, "b": 1})
    assert not between.bind({"a": 2})
    assert bound == {}
    between.cell_ended(cell)
    assert bound == {"a": 2, "b": 1}


def test_a_cell_within_a_cell_is_not_the_end(between, bound):
    outer, inner = object(), object()
    between.cell_begins(outer)
    between.cell_begins(inner)
    between.bind({"a": 1})
    between.cell_ended(inner)

    assert bound == {}
    between.cell_ended(outer)
    assert bound == {"a": 1}


def test_an_empty_cell_of_which_only_the_end_is_told_ends_no_other(between, bound):
    cell = object()
    between.cell_begins(cell)
    between.bind({"a": 1})
    between.cell_ended(SimpleNamespace(raw_cell=" "))
    assert bound == {}

    between.cell_ended(None)  # an interrupted await
    assert bound == {"a": 1}


def test_who_waits_for_a_run_has_its_names_in_the_same_cell_and_once(between, bound):
    mine, other = {"a": 1}, {"a": 2}
    cell = object()
    between.cell_begins(cell)
    between.bind(mine)
    between.bind(other)
    between.release(mine)
    assert bound == {"a": 1}

    bound["a"] = "the cell's own"
    between.release(mine)
    assert bound == {"a": "the cell's own"}
    between.cell_ended(cell)
    assert bound == {"a": 2}


def test_a_shell_tells_of_its_cells(notebook, bound):
    front = notebook.shell.magics_manager.registry["DdpMagics"].front
    notebook.ns["bind"] = front.between.bind
    notebook.run(
        """
        import threading
        told = []
        thread = threading.Thread(target=lambda: told.append(bind({"late": 1})))
        thread.start(); thread.join()
        get_ipython().run_cell("")
        get_ipython().run_cell("inner = 'late' in globals()")
        seen = told, "late" in globals(), inner
        """
    )

    assert notebook.ns["seen"] == ([False], False, False)
    assert notebook.ns["late"] == 1


def test_the_cell_that_loads_the_extension_is_one_that_runs(notebook):
    notebook.run(
        """
        %reload_ext ddp_magic
        import threading
        front = get_ipython().magics_manager.registry["DdpMagics"].front
        told = []
        thread = threading.Thread(target=lambda: told.append(front.between.bind({"late": 1})))
        thread.start(); thread.join()
        get_ipython().run_cell("")
        get_ipython().run_cell("inner = 'late' in globals()")
        seen = told[:], "late" in globals(), inner
        """
    )

    assert notebook.ns["seen"] == ([False], False, False)
    assert notebook.ns["late"] == 1
    assert notebook.ns["front"].between.bind({"late": 2})
