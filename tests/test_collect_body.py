"""The body is read as the cell has it, and refused where no worker can run it."""

from __future__ import annotations

import pytest

from ddp_magic.errors import CollectError
from tests.kernel_side import KernelSide, empty_kernel, kernel

__all__ = ["empty_kernel", "kernel"]

MAGIC = "is an IPython line, and workers are plain Python. Move it to a cell above this one."
ADDRESS = (
    "which the workers have got from their launcher. Remove that; init_process_group() then finds "
    "the other workers by itself."
)
NOTHING = "There is nothing to run below the %%ddp line. Write the training call there."
INPUT = (
    "The cell calls input() in line 3, and workers have no keyboard. "
    "Ask in a cell above this one and use the answer here."
)
NESTED = "A %%ddp cell cannot hold another one ({}). Give it a cell of its own."
TWICE = (
    "The cell calls init_process_group() in line 3 and again in line 5, and a worker can be in one "
    "default group only. Remove one, or call destroy_process_group() between them."
)

REFUSED = {
    "shell": ("x = 1\n!ls -l", f"!ls -l (line 3) {MAGIC}"),
    "shell assignment": ("files = !ls", f"files = !ls (line 2) {MAGIC}"),
    "line magic": ("\n\n%time f()", f"%time f() (line 4) {MAGIC}"),
    "cell magic": ("%%time\nf()", f"%%time (line 2) {MAGIC}"),
    "help": ("print?", f"print? (line 2) {MAGIC}"),
    "input": ("for i in range(2):\n    name = input('name')", INPUT),
    "nested": ("%%ddp --nproc 2\nx = 1", NESTED.format("line 2: %%ddp --nproc 2")),
    "nested below": ("x = 1\n%%ddp\nx = 2", NESTED.format("line 3: %%ddp")),
    "empty": ("", NOTHING),
    "comments": ("# train()\n\n   # later\n", NOTHING),
    "address": (
        "import os\nos.environ['MASTER_ADDR'] = 'localhost'",
        f"The cell sets MASTER_ADDR (line 3), {ADDRESS}",
    ),
    "address in a dict": (
        "import os\nos.environ.update({'MASTER_PORT': '1'})",
        f"The cell sets MASTER_PORT (line 3), {ADDRESS}",
    ),
    "address as keyword": (
        "from os import environ\nif True:\n    environ.update(MASTER_ADDR='h')",
        f"The cell sets MASTER_ADDR (line 4), {ADDRESS}",
    ),
    "address by putenv": (
        "import os\nos.putenv('MASTER_PORT', '1')",
        f"The cell sets MASTER_PORT (line 3), {ADDRESS}",
    ),
    "address of one's own": (
        (
            "import torch.distributed as dist\nport = 1234\n"
            "dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=0)"
        ),
        f"The cell sets init_method (line 4), {ADDRESS}",
    ),
    "two groups": (
        "from torch.distributed import *\ninit_process_group('gloo')\n1\ninit_process_group()",
        TWICE,
    ),
}

SPAWNS = (
    "which starts processes of its own, and %%ddp has started the workers already. Call "
    "{}() itself there, with int(os.environ['RANK']) for its rank."
)
JOINS = "import torch.distributed as dist\nimport torch.multiprocessing as mp\n"

ACCEPTED = {
    "a pool that joins no group": (
        "import torch.multiprocessing as mp\ndef f(i): print(i)\nmp.spawn(f, nprocs=2)"
    ),
    "a method called spawn": JOINS + "dist.init_process_group()\nworld.spawn(1)\nnew.spawn(a, b=1)",
    "default address": "import os\nos.environ.setdefault('MASTER_ADDR', 'localhost')",
    "guarded address": (
        "import os\nif 'MASTER_ADDR' not in os.environ:\n    os.environ['MASTER_ADDR'] = 'h'"
    ),
    "address of the launcher": "import dist\ndist.init_process_group(init_method='env://')",
    "another variable": "import os\nos.environ['MASTER'] = 'x'\nos.environ.update(A='1')",
    "groups one after the other": (
        "import torch.distributed as dist\ndist.init_process_group()\n"
        "dist.destroy_process_group()\ndist.init_process_group()"
    ),
    "groups in branches": (
        "import torch.distributed as dist\nif x:\n    dist.init_process_group()\n"
        "else:\n    dist.init_process_group('gloo')"
    ),
    "own input": "def input(): return 1\ninput",
    "modulo over lines": "x = 7\ny = (x\n%3)",
    "await": "import asyncio\nawait asyncio.sleep(0)",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_body_that_no_worker_can_run_is_refused(empty_kernel: KernelSide, name: str):
    body, told = REFUSED[name]

    with pytest.raises(CollectError) as refused:
        empty_kernel.gather(body)

    assert str(refused.value) == told


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_body_that_only_looks_like_it_is_accepted(empty_kernel: KernelSide, name: str):
    empty_kernel.gather(ACCEPTED[name])


def test_input_of_the_notebook_is_no_keyboard(kernel: KernelSide):
    kernel.cells("def input(prompt):\n    return 3")

    assert kernel.gather("x = input('a number')").names == {"input"}


def test_a_syntax_error_is_told_at_the_line_of_the_cell(kernel: KernelSide):
    collector, run = kernel.collector("x = 1\ny = = 2\n", first_line=4)

    with pytest.raises(SyntaxError) as raised:
        collector.gather()

    error = raised.value
    assert (error.filename, error.lineno, error.text) == ("Cell In[1]", 5, "y = = 2\n")
    assert error.args[1][1] == 5
    assert not list(run.path.glob("*.p*"))


def test_an_error_of_the_compiler_is_told_at_the_line_of_the_cell(kernel: KernelSide):
    with pytest.raises(SyntaxError) as raised:
        kernel.gather("x = 1\nreturn x")

    error = raised.value
    assert (error.filename, error.lineno, error.text) == ("Cell In[1]", 3, "return x")


def test_the_tree_has_the_line_numbers_of_the_cell(kernel: KernelSide):
    collector, _ = kernel.collector("a = 1\n\nb = a", first_line=5)

    assert [statement.lineno for statement in collector.gather().tree.body] == [5, 7]


def test_what_the_body_binds_and_reads_is_told(kernel: KernelSide):
    kernel.cells("lr = 0.1\nepochs = 3\ndef train():\n    return lr * epochs", "unused = 1")

    reached = kernel.gather(
        "import os.path as p\nbest, *rest = train(), 1\nfor i in rest:\n    last = i\n"
        "def g():\n    global made\n    made = local = 1\nclass K: inner = 1\n"
        "[n := 1 for k in rest]"
    )

    assert reached.names == {"train", "lr", "epochs"}
    assert reached.stores == {"p", "best", "rest", "i", "last", "g", "made", "K", "n"}


BOUND_FIRST = {
    "assignment": "f = 1\nf",
    "with": "with open('x') as f:\n    f.read()",
    "for": "for f in []:\n    f",
    "except": "try:\n    1\nexcept ValueError as f:\n    print(f)",
    "import": "import json as f\nf",
    "function": "def f(): pass\nf()",
    "class": "class f: pass\nf()",
    "walrus": "if (f := 1):\n    f",
    "unpacking": "(a, f), b = (1, 2), 3\nf",
    "match": "match 1:\n    case f:\n        f",
    "comprehension": "[f for f in range(3)]",
    "parameter": "def g(f):\n    return f\ng(1)",
    "annotated": "f: int = 1\nf",
}
READ_FIRST = {
    "plain": "f",
    "augmented": "f += 1",
    "after a loop": "for f in []:\n    pass\nf",
    "in the other branch": "if 0:\n    f = 1\nf",
    "in its own value": "f = f",
    "default": "def g(x=f): pass\nf = 1",
    "bare annotation": "f: int\nf",
    "deleted": "f = 1\ndel f\nf",
    "in a function above": "def g():\n    return f\nf = 1",
}


@pytest.mark.parametrize("name", BOUND_FIRST)
def test_a_name_that_the_body_binds_first_is_not_collected(empty_kernel: KernelSide, name: str):
    empty_kernel.space["f"] = 0

    assert "f" not in empty_kernel.gather(BOUND_FIRST[name]).names


@pytest.mark.parametrize("name", READ_FIRST)
def test_a_name_that_the_body_may_read_first_is_collected(empty_kernel: KernelSide, name: str):
    empty_kernel.space["f"] = 0

    assert "f" in empty_kernel.gather(READ_FIRST[name]).names


def test_a_function_that_the_body_calls_may_not_set_the_address(kernel: KernelSide):
    kernel.cells(
        "import os\ndef setup(rank):\n    if rank:\n        os.environ['MASTER_PORT'] = '1'\n"
    )

    with pytest.raises(CollectError) as refused:
        kernel.gather("setup(0)")

    assert str(refused.value) == (
        "setup() in Cell In[1] sets MASTER_PORT (line 4), which the workers have got from their "
        "launcher. Remove that; init_process_group() then finds the other workers by itself."
    )


RANKS = "def main(rank, n):\n    dist.init_process_group('gloo', rank=rank, world_size=n)\n"


@pytest.mark.parametrize(
    ("cells", "body", "told"),
    [
        (
            [JOINS + RANKS],
            "mp.spawn(main, args=(2,), nprocs=2)",
            "The cell calls mp.spawn() (line 2)",
        ),
        (
            [],
            JOINS + RANKS + "mp.spawn(main, (2,), nprocs=2)",
            "The cell calls mp.spawn() (line 6)",
        ),
        (
            [JOINS + RANKS + "def run(n):\n    mp.start_processes(main, args=(n,), nprocs=n)\n"],
            "run(2)",
            "run() in Cell In[1] calls mp.start_processes() (line 6)",
        ),
    ],
)
def test_who_starts_ranks_by_hand_is_told_that_they_are_there(
    kernel: KernelSide, cells: list[str], body: str, told: str
):
    kernel.cells(*cells)

    with pytest.raises(CollectError) as refused:
        kernel.gather(body)

    assert str(refused.value) == f"{told}, {SPAWNS.format('main')}"


def test_a_function_that_nothing_calls_may_start_ranks(kernel: KernelSide):
    kernel.cells(
        JOINS + RANKS + "class Run:\n    def go(self):\n        mp.spawn(main, nprocs=2)\n"
    )

    kernel.gather("Run, main(0, 2)")


def test_a_method_that_nothing_calls_may_set_the_address(kernel: KernelSide):
    kernel.cells(
        "import os\nclass Trainer:\n    def train(self): pass\n"
        "    def launch(self):\n        os.environ['MASTER_PORT'] = '1'\n"
    )

    kernel.gather("Trainer().train()")
