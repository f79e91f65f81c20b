"""What `latency.py` measures of %%ddp beyond the comparison, each in real kernels of its own."""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latency_kernel import PATIENCE, CellFailed, notebook
from latency_ways import BODY, IMPORTS

from ddp_magic import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from latency_kernel import Notebook

__all__ = ["COLD", "PARTS", "has_standby", "settle"]

COLD = " --cold" if "--cold" in options.help_text() else ""
"""What makes a run start its own workers; nothing where every run does."""
MAGICS = "next(iter(__import__('sys').modules['ddp_magic.magic']._loaded.values()))"
PYTHON = Path(sys.executable)
PRINTS = 200
STEPS = 200
_LOAD = """
import sys, time
began = time.perf_counter()
get_ipython().run_line_magic("load_ext", "ddp_magic")
print(f"LOADED {time.perf_counter() - began:.6f}")
with_torch = "torch" in sys.modules
"""
_PRINT = f"""
import os, time
for _ in range({PRINTS}):
    if os.environ["RANK"] == "0": print(f"AT {{time.time():.6f}}")
    time.sleep(0.02)
"""
_TRAIN = f"""
import time, torch, torch.distributed as dist
from torch import nn
dist.init_process_group("gloo")
model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10))
model = nn.parallel.DistributedDataParallel(model)
optimizer = torch.optim.SGD(model.parameters(), 0.01)
x, y = torch.randn(64, 256), torch.randint(10, (64,))
for step in range({STEPS} + 20):
    if step == 20:
        began = time.perf_counter()
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad(); loss.backward(); optimizer.step()
rate = {STEPS} / (time.perf_counter() - began)
if dist.get_rank() == 0: print(f"RATE {{rate:.6f}}")
dist.destroy_process_group()
"""
_TORCHRUN = "!torchrun --standalone --nproc-per-node 2 body.py"


def has_standby(book: Notebook) -> bool:
    """Tell whether this kernel's extension keeps workers waiting."""
    return book.ask(f"hasattr({MAGICS}, 'standby')")


def settle(book: Notebook) -> None:
    """Wait until a group of workers waits with all imports done.

    Raises:
        CellFailed: There is none.
    """
    end = time.monotonic() + PATIENCE
    while not book.ask(f"{MAGICS}.standby.ready()"):
        if time.monotonic() > end:
            raise CellFailed(f"after {PATIENCE:g} s: {book.ask(f'{MAGICS}.standby.status()')}")
        time.sleep(0.2)


def after_load(place: Path, rounds: int) -> dict[str, Any]:
    """Return what the first run takes 5 s after %load_ext, in kernels that have torch."""
    first, done, ready = [], [], []
    for _ in range(rounds):
        with notebook(PYTHON, place) as book:
            book.run(IMPORTS)
            loaded = book.run("%load_ext ddp_magic").replied
            time.sleep(max(0.0, loaded + 4.9 - time.time()))
            ready.append(has_standby(book) and book.ask(f"{MAGICS}.standby.ready()"))
            time.sleep(max(0.0, loaded + 5 - time.time()))
            ran = book.run(f"%%ddp --nproc 2 -o moments\n{BODY}")
            first.append(book.ask("moments")[-1] - ran.sent)
            done.append(ran.replied - ran.sent)
    print("the first run, 5 s after %load_ext in a kernel that has imported torch")
    tell("Enter -> first all_reduce done", first)
    tell("Enter -> cell done", done)
    print(f"  standby ready at Enter: {sum(ready)} of {rounds}\n")
    return {"first": first, "done": done, "ready": ready}


def load(place: Path, rounds: int) -> dict[str, Any]:
    """Return what %load_ext takes in new kernels."""
    took, imported = [], []
    for _ in range(rounds):
        with notebook(PYTHON, place) as book:
            took.append(book.run(_LOAD).number("LOADED"))
            imported.append(book.ask("with_torch"))
    print("%load_ext ddp_magic in a new kernel")
    tell("seconds", took)
    print(f"  torch in sys.modules afterwards: {sum(imported)} of {rounds}\n")
    return {"seconds": took, "torch imported": imported}


def steps(place: Path, rounds: int) -> dict[str, Any]:
    """Return steps per second of a training, ours and torchrun's in pairs."""
    rates: dict[str, list[float]] = {"%%ddp": [], "torchrun": []}
    cells = {"%%ddp": f"%%ddp --nproc 2\n{_TRAIN}", "torchrun": _TORCHRUN}
    with ExitStack() as stack:
        books = _two(stack, place, cells, _TRAIN)
        for number in range(rounds):
            for name in sorted(cells, reverse=number % 2 == 1):
                rates[name].append(books[name].run(cells[name]).number("RATE"))
                books[name].rest()
    pairs = [own / other for own, other in zip(*rates.values(), strict=True)]
    print(f"steps per second of a small DDP training, {STEPS} steps, OMP_NUM_THREADS=1, in pairs")
    for name, found in rates.items():
        tell(name, found, digits=1)
    tell("ratio of each pair", pairs, digits=3)
    print()
    return {**rates, "ratios": pairs}


def prints(place: Path, rounds: int) -> dict[str, Any]:
    """Return how long a printed line takes from rank 0 to the client's socket."""
    ours = {
        f"%%ddp --ui {ui}": f"%%ddp --nproc 2 --ui {ui}\n{_PRINT}" for ui in ("plain", "widget")
    }
    cells = {**ours, "torchrun": _TORCHRUN}
    delays: dict[str, list[float]] = {name: [] for name in cells}
    with ExitStack() as stack:
        books = _two(stack, place, cells, _PRINT)
        for number in range(rounds):
            for name in sorted(cells, reverse=number % 2 == 1):
                seen = books[name].run(cells[name]).arrivals(r"AT (\d+\.\d+)")
                if len(seen) != PRINTS:
                    raise CellFailed(f"{name}: {len(seen)} of {PRINTS} lines arrived")
                delays[name] += [at - float(said) for said, at in seen.items()]
                books[name].rest()
    print(f"print in rank 0 -> message at the client, {rounds} x {PRINTS} lines, 20 ms apart; ms")
    for name, found in delays.items():
        late = statistics.quantiles(found, n=100)[98] * 1000
        median, worst = statistics.median(found) * 1000, max(found) * 1000
        print(f"  {name}: median {median:.1f}, 99th percentile {late:.1f}, longest {worst:.1f}")
    print()
    return dict(delays)


def _two(stack: ExitStack, place: Path, cells: dict[str, str], code: str) -> dict[str, Notebook]:
    """Start a kernel for each way, with the extension and with the code in a file; run it once."""
    books: dict[str, Notebook] = {}
    for name, cell in cells.items():
        book = books[name] = stack.enter_context(notebook(PYTHON, place, OMP_NUM_THREADS="1"))
        book.run(f"{IMPORTS}\nfrom pathlib import Path\nPath('body.py').write_text({code!r})")
        book.run("%load_ext ddp_magic")
        book.run(cell)
        book.rest()
    return books


def many(place: Path, rounds: int) -> dict[str, Any]:
    """Return what 8 workers take, warm and cold."""
    cells = {"warm": "", "cold": COLD}
    found: dict[str, list[float]] = {name: [] for name in cells}
    with ExitStack() as stack:
        books: dict[str, Notebook] = {}
        for name, flags in cells.items():
            environ = {"DDP_MAGIC_STANDBY": "1" if name == "warm" else "0"}
            books[name] = stack.enter_context(notebook(PYTHON, place, **environ))
            books[name].run(f"{IMPORTS}\n%load_ext ddp_magic")
            cells[name] = f"%%ddp --nproc 8{flags} -o moments\n{BODY}"
            books[name].run(cells[name])
        waits = has_standby(books["warm"])
        for number in range(rounds):
            for name in sorted(cells if waits else ["cold"], reverse=number % 2 == 1):
                for one, book in books.items():
                    book.rest()
                    if waits and one == "warm":
                        settle(book)
                ran = books[name].run(cells[name])
                found[name].append(ran.replied - ran.sent)
    print("8 workers, Enter -> cell done")
    for name, taken in found.items():
        tell(f"%%ddp, {name}", taken)
    if waits:
        pairs = [cold / warm for warm, cold in zip(*found.values(), strict=True)]
        tell("cold / warm of each pair", pairs)
    print()
    return dict(found)


def tell(what: str, values: list[float], *, digits: int = 2) -> None:
    """Print a median and the raw numbers."""
    if not values:
        print(f"  {what}: not available: this ddp_magic keeps no workers waiting")
        return
    raw = " ".join(f"{value:.{digits}f}" for value in values)
    print(f"  {what}: median {statistics.median(values):.{digits}f}   [{raw}]")


PARTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "after-load": after_load,
    "load": load,
    "steps": steps,
    "print": prints,
    "many": many,
}
"""What --only calls them."""
