"""A real terminal IPython, in a pseudo-terminal, as a person sees it; and Tab and ``?`` in both."""

from __future__ import annotations

import os
import re
import sys

import pexpect
import pytest

from tests.kernels import LIGHT, kernel
from tests.notebook import until

TRAINER = """
import os
import time
from pathlib import Path
from tqdm import tqdm

def train(directory, stubborn=False):
    for step in (bar := tqdm(range(4), desc="steps", mininterval=0)):
        if step == 2:
            try:
                (Path(directory) / f"ready{os.environ['RANK']}").touch()
                while not (Path(directory) / "go").exists():
                    time.sleep(0.02)
            except KeyboardInterrupt:
                bar.close()
                print("saving")
                while stubborn:
                    time.sleep(0.02)
                return step
    return 4
"""


class Terminal:
    """IPython in a terminal of 100 columns; what it writes is looked for from the last find on."""

    def __init__(self, home) -> None:
        env = {
            **os.environ,
            "IPYTHONDIR": str(home),
            "TERM": "xterm-256color",
            "PAGER": "cat",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        flags = ["--no-banner", "--no-confirm-exit", "--colors=nocolor", "--no-autoindent"]
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "IPython", *flags],
            env=env,
            cwd=str(home),
            dimensions=(50, 100),
            encoding="utf-8",
            timeout=30,
        )
        self.find("In [1]:")

    def find(self, text: str) -> str:
        """Wait for this text and return what came before it."""
        self.child.expect_exact(text)
        return self.child.before

    def run(self, cell: str) -> None:
        """Paste a cell and run it: Escape and Enter, since Enter alone may ask for more lines."""
        self.child.send(f"\x1b[200~{cell}\x1b[201~")
        self.child.send("\x1b\r")


@pytest.fixture
def terminal(tmp_path, request):
    made = Terminal(tmp_path)
    made.run(getattr(request, "param", "%load_ext ddp_magic"))
    made.find("In [2]:")
    yield made
    made.child.delayafterterminate = 10  # at most: a busy machine takes a while to end it
    made.child.close(force=True)


@pytest.mark.workers
@pytest.mark.parametrize("terminal", [LIGHT.strip()], indirect=True, ids=["light"])
def test_a_bar_is_live_and_control_c_stops_in_two_stages(terminal, tmp_path):
    terminal.run(TRAINER)
    terminal.find("In [3]:")
    terminal.run(f"%%ddp --nproc 2 directory={tmp_path} -o done  # first\ndone = train()")
    terminal.find("→ train(directory) · first")
    terminal.find("\rsteps:  50%|█████     | 2/4 [")
    assert not (tmp_path / "go").exists(), "it is drawn while the cell blocks"

    until(lambda: all((tmp_path / f"ready{rank}").exists() for rank in (0, 1)))
    terminal.child.sendintr()
    told = terminal.find("In [4]:")
    # stdout's "saving" may come before the end of the bar's line on stderr
    ours = re.findall(r"^(?:%%ddp|The run).*|saving", told.replace("\r", "\n"), re.MULTILINE)
    assert re.sub(r"\d+\.\d s", "4.2 s", "\n".join(ours)).splitlines() == [
        "%%ddp run-1 stopping: interrupted; 30 s to finish, a second interrupt kills",
        "saving",
        "%%ddp run-1 stopped in 4.2 s · in the notebook: done",
        "The run was stopped: interrupted.",
    ]

    terminal.run(f"%%ddp --nproc 2 directory={tmp_path} stubborn=True\ntrain()")
    terminal.find("\rsteps:  50%|")
    terminal.child.sendintr()
    terminal.find("saving")
    terminal.child.sendintr()
    assert "KeyboardInterrupt" not in terminal.find("The run was stopped: interrupted.")
    terminal.find("In [5]:")
    terminal.run("'the shell goes on', done")
    terminal.find("('the shell goes on', 2)")


@pytest.mark.workers
@pytest.mark.parametrize("terminal", [LIGHT.strip()], indirect=True, ids=["light"])
def test_a_run_in_the_background_says_how_it_ends_and_leaves_the_prompt_alone(terminal, tmp_path):
    go = tmp_path / "go"
    terminal.run(
        "%%ddp --nproc 1 --background -o done\nimport os, time\nprint('not drawn')\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.02)\ndone = 1 + 1"
    )
    terminal.find("run-1 (Cell In[2], 1 worker): starting in the background")
    terminal.find("In [3]:")
    terminal.run("run = _; 'meanwhile'")
    terminal.find("'meanwhile'\r\n")
    terminal.find("In [4]:")
    go.touch()
    told = terminal.find("· in the notebook: done")
    assert "%%ddp run-1 succeeded in " in told
    assert "not drawn" not in told
    terminal.run("run.wait(), done, run.logs()")
    terminal.find("('succeeded', 2, 'not drawn\\n')")


def test_tab_completes_a_line_and_a_question_mark_shows_its_options(terminal):
    terminal.run("%%ddp?")
    terminal.find("--torchrun")
    terminal.find("In [3]:")
    terminal.run("history = [1]")
    terminal.find("In [4]:")
    terminal.child.send("%%ddp --gp\t")
    terminal.find("us")  # what is typed may be drawn already, then only the rest is
    terminal.child.send(" 2 -o his\t")
    terminal.find("tory")


OFFERED = [
    ("%%ddp --gp", ["--gpus"]),
    ("%%ddp --gp|\ntrainer = Trainer()", ["--gpus"]),
    ("# a note\n%%ddp --nproc 2 \\\n  ep", ["epochs="]),
    ("%%ddp -o his", ["history"]),
    ("%%ddp --output model,his", ["history"]),
    ("%%ddp ep", ["epochs="]),
    ("%%ddp Trainer.e", ["Trainer.epochs="]),
    ("%%ddp cfg.optim.|\nprint(cfg)", ["cfg.optim.lr="]),
    ("%%ddp \\\n  wei|\ntune(weight=1)", ["weight="]),
    ("%%ddp lr={2*his", ["2*history"]),
    ("%%ddp --gpus 2\nTrainer(ep", ["epochs="]),  # IPython's own
]


def complete(kernel, code, cursor):
    return kernel._reply(kernel.client.complete(code, cursor))["content"]


@pytest.mark.kernel
def test_a_kernel_completes_a_line_and_shows_its_options():
    with kernel() as made:
        made.run(
            "%load_ext ddp_magic\n"
            "class Trainer:\n    def __init__(self, lr=0.1, epochs=3): pass\n"
            "history, model, cfg = [1], 1, {'optim': {'lr': 0.1}}"
        )
        for code, words in OFFERED:
            cursor = code.find("|") if "|" in code else len(code)
            reply = complete(made, code.replace("|", ""), cursor)
            assert reply["matches"] == words, code
            typed = code[reply["cursor_start"] : cursor]
            assert all(word.startswith(typed) for word in words), code
        assert len(complete(made, "%%ddp -", 7)["matches"]) > 10
        assert all(each.startswith("-") for each in complete(made, "%%ddp -", 7)["matches"])

        [page] = made._reply(made.start("%%ddp?"))["content"]["payload"]
        assert "--torchrun" in page["data"]["text/plain"]
