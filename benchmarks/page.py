"""What a run costs the page that shows it: in a real JupyterLab in headless Chromium.

    python benchmarks/page.py [--lines N] [--only flood,latency,stop]

    flood     N lines (1,000,000) at 20,000 a second from each of two ranks, with bars: bytes that
              went to the browser, the longest stall of the page, growth of its heap
    latency   one line at a time: from print in rank 0 to its being in the page
    stop      click on Stop -> the cell has ended, with real workers that obey; by message, and by
              the kernel's interrupt where it has no subshells

Needs what the tests need: Debian's chromium, and the `dev` extra.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

from setting import describe

from tests.browser import jupyter

if TYPE_CHECKING:
    from tests.browser import Jupyter, Notebook

PREPARE = """
from tests.scripted_run import *
from ddp_magic.events import RunState, StateChanged
"""
FLOOD = """
def paced(lines, rate=20_000, tick=0.05):
    yield started()
    yield StateChanged(time=0.0, state=RunState.RUNNING)
    each = int(rate * tick)
    begun, sent = time.time(), 0
    while sent < lines:
        for rank in (0, 1):
            yield out("".join(f"step {sent + i} {'x' * 60}\\n" for i in range(each)), rank)
            yield out(f"\\r{100 * sent // lines:3}%|{'#' * 20}| {sent}/{lines}", rank, "stderr")
        sent += each
        time.sleep(max(0.0, begun + sent / rate - time.time()))
import time
began = time.time()
play(paced(LINES))
print("SECONDS", time.time() - began)
"""
LATENCY = """
import time
def spoken(count):
    yield started()
    yield StateChanged(time=0.0, state=RunState.RUNNING)
    for number in range(count * 20):
        if number % 20 == 7:
            yield out(f"AT {time.time() * 1000:.1f}\\n")
        else:
            yield StateChanged(time=0.0, state=RunState.RUNNING) if number == 0 else out("")
        time.sleep(0.0137)
play(spoken(60))
"""
RUN = """
%%ddp --nproc 2 -o done
import time
done = 0
print("ready")
while True:
    time.sleep(0.01)
    done += 1
"""
WATCH_STALLS = """() => {
    let last = performance.now();
    window.stalls = [];
    setInterval(() => {
        window.stalls.push(performance.now() - last - 10);
        last = performance.now();
    }, 10);
}"""
WATCH_LINES = """() => {
    window.seen = {};
    new MutationObserver(() => {
        const now = Date.now() + (performance.now() % 1);
        for (const line of document.querySelectorAll(".ddp-magic .ddp-line")) {
            const said = line.textContent.match(/^AT ([0-9.]+)$/);
            if (said && !(said[1] in window.seen)) window.seen[said[1]] = now - Number(said[1]);
        }
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""


def flood(server: Jupyter, lines: int) -> None:
    """Print what a flood costs."""
    notebook = server.open([PREPARE, FLOOD.replace("LINES", str(lines))])
    notebook.page.set_default_timeout(600_000)
    notebook.run(0)
    notebook.page.evaluate(WATCH_STALLS)
    heap = _heap(notebook)
    before = notebook.traffic.bytes
    notebook.run(1, wait=False)
    notebook.page.wait_for_function("state => state.ended", arg=notebook._done, timeout=600_000)  # noqa: SLF001
    stalls = sorted(notebook.page.evaluate("window.stalls"))
    grown = _heap(notebook) - heap
    size = (notebook.traffic.bytes - before) / 1e6
    print(f"{lines:,} lines from each rank, {lines * 73 * 2 / 1e6:.0f} MB")
    print(f"  to the browser {size:.1f} MB in {notebook.traffic.messages} messages")
    print(f"  longest stall {stalls[-1] / 1000:.3f} s, 99.9 % below {_part(stalls, 0.999):.3f} s")
    print(f"  heap of the page grew by {grown / 1e6:.1f} MB")
    notebook.close()


def _heap(notebook: Notebook) -> float:
    """Return the bytes of the page's heap after a collection."""
    session = notebook.page.context.new_cdp_session(notebook.page)
    session.send("HeapProfiler.collectGarbage")
    return session.send("Runtime.getHeapUsage")["usedSize"]


def _part(values: list[float], part: float) -> float:
    return values[int(part * (len(values) - 1))] / 1000


def latency(server: Jupyter) -> None:
    """Print how long a line takes to the page."""
    notebook = server.open([PREPARE, LATENCY])
    notebook.run(0)
    notebook.page.evaluate(WATCH_LINES)
    notebook.run(1)
    seen = sorted(notebook.page.evaluate("Object.values(window.seen)"))
    print(f"print -> on the page, {len(seen)} lines: median {statistics.median(seen):.0f} ms, "
          f"99 % {seen[int(0.99 * (len(seen) - 1))]:.0f} ms")  # fmt: skip
    notebook.close()


def stop(server: Jupyter, rounds: int = 3) -> None:
    """Print how long a click on Stop takes to end the cell."""
    for how in ("by message", "by interrupt"):
        notebook = server.open(["%load_ext ddp_magic", RUN])
        if how == "by interrupt":
            notebook.kernel("kernel.commsOverSubshells = 'disabled'")
        notebook.run(0)
        took: list[float] = []
        for _ in range(rounds):
            output = notebook.run(1, wait=False)
            panel = output.locator(".ddp-magic")
            panel.locator(".ddp-line", has_text="ready").first.wait_for()
            began = time.monotonic()
            panel.get_by_role("button", name="Stop").click()
            notebook.wait_for_end()
            took.append(time.monotonic() - began)
        raw = " ".join(f"{seconds:.2f}" for seconds in took)
        print(f"Stop -> cell ended, {how}: median {statistics.median(took):.2f} s  [{raw}]")
        notebook.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--only", default="flood,latency,stop")
    asked = parser.parse_args()
    describe()
    with tempfile.TemporaryDirectory() as folder, jupyter(Path(folder)) as server:
        for part in asked.only.split(","):
            if part == "flood":
                flood(server, asked.lines)
            else:
                {"latency": latency, "stop": stop}[part](server)


if __name__ == "__main__":
    main()
