"""``python -m tests.display_cases plain|rank``: what the same cells display in both places.

``plain`` runs them in a real IPython shell, ``rank`` as a worker of rank 0 does; both print JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

FIGURE = "import matplotlib.pyplot as plt\n"
CASES = {
    "text": "display('a', 1)",
    "a number as the notebook writes it": "display(1 / 3, [1 / 7])",
    "html": "from IPython.display import HTML\ndisplay(HTML('<b>x</b>'))",
    "markdown, latex": (
        "from IPython.display import Latex, Markdown, Math\n"
        "display(Markdown('*a*'), Latex('$x$'), Math('x'))"
    ),
    "json": "from IPython.display import JSON\ndisplay(JSON({'a': [1, None]}, expanded=True))",
    "javascript": "from IPython.display import Javascript\ndisplay(Javascript('1'))",
    "svg": "from IPython.display import SVG\ndisplay(SVG('<svg xmlns=\"a\"></svg>'))",
    "image": (
        "from IPython.display import Image\n"
        "display(Image(b'\\x89PNG\\r\\n\\x1a\\n' + b'0' * 30, width=3), metadata={'a': 1})"
    ),
    "own representations": """
class Table:
    def __repr__(self): return 'T'
    def _repr_html_(self): return '<table></table>'
    def _repr_latex_(self): return 'T', {'a': 1}
    def _repr_png_(self): return b'abc'
display(Table())
display(Table(), include=['text/html'])
display(Table(), exclude=['text/html', 'image/png'], metadata={'text/latex': {'b': 2}})
""",
    "an own bundle": """
class Bundle:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {'application/x+json': {'a': float('nan')}, 'text/plain': 'b'}, {'c': (1, 2)}
display(Bundle())
""",
    "what displays itself": """
class Own:
    def _ipython_display_(self):
        display('inside')
display(Own(), 'behind')
""",
    "a representation that fails": """
class Broken:
    def __repr__(self): return 'broken'
    def _repr_html_(self): raise ValueError('no html')
display(Broken())
""",
    "raw": (
        "display({'text/plain': 'p', 'text/x': 'y', 'image/png': b'1'}, raw=True)\n"
        "from IPython.display import publish_display_data\n"
        "publish_display_data({'text/plain': 'q'}, {'a': {'b': 1}}, transient={'display_id': 'z'})"
    ),
    "updates": """
from IPython.display import DisplayHandle, display as show, update_display
handle = show('a', display_id='one')
handle.update('b')
update_display('c', display_id='one')
handle.display('d')
DisplayHandle('two').update('e')
assert show(display_id=True).display_id
assert show('f') is None
""",
    "an update without an id": """
try:
    display('x', update=True)
except TypeError as error:
    display(str(error))
""",
    "cleared": (
        "from IPython.display import clear_output\ndisplay('a')\nclear_output()\n"
        "display('b')\nclear_output(wait=True)\ndisplay('c', clear=True)"
    ),
    "no shell": (
        "import IPython\nfrom IPython.core.interactiveshell import InteractiveShell\n"
        "display(InteractiveShell is not None)"
    ),
    "tables": (
        "import pandas as pd\ndisplay(pd.DataFrame({'a': [1, 2], 'b': ['x', None]}))\n"
        "display(pd.DataFrame([[0.1] * 30] * 100))\n"
        "display(pd.Series([1, 2]), pd.DataFrame({'a': [1]}).style.format('{:.2f}').set_uuid('u'))"
    ),
    "a figure shown": FIGURE + "plt.plot([1, 2])\nplt.show()\ndisplay(plt.get_fignums())",
    "a figure left open": FIGURE + "plt.plot([1, 2])\ndisplay('before')",
    "figures in order": FIGURE
    + (
        "for n in range(3):\n    display(n)\n    plt.figure(figsize=(n + 1, 1))\n"
        "    plt.plot([n])\n    if n != 1:\n        plt.show()"
    ),
    "closed": FIGURE + "plt.plot([1])\nplt.close()",
    "empty": FIGURE + "plt.figure()",
    "displayed and left open": FIGURE + "fig, ax = plt.subplots()\nax.plot([2, 1])\ndisplay(fig)",
    "its own show": FIGURE + "fig, ax = plt.subplots()\nax.plot([2, 1])\nfig.show()",
    "one without pyplot": (
        "from matplotlib.figure import Figure\nfig = Figure()\nfig.subplots().plot([1, 2])\n"
        "display(fig)"
    ),
    "transparent": FIGURE
    + ("plt.figure(facecolor='none')\nplt.plot([1])\nplt.tick_params(labelcolor='w')\nplt.show()"),
    "parameters": FIGURE
    + (
        "with plt.rc_context({'figure.dpi': 40, 'savefig.facecolor': 'r'}):\n"
        "    plt.plot([1, 2])\n    plt.show()"
    ),
    "not interactive": FIGURE + "plt.ioff()\nplt.plot([1, 2])\nplt.close('all')\nplt.ion()",
    "its name": FIGURE
    + (
        "import matplotlib\nplt.plot([1])\nplt.close()\n"
        "display(matplotlib.get_backend(), matplotlib.is_interactive())"
    ),
    "other formats": FIGURE
    + (
        "from matplotlib_inline.backend_inline import set_matplotlib_formats\n"
        "set_matplotlib_formats('jpeg', 'retina', pil_kwargs={'quality': 5})\n"
        "plt.plot([1, 2])\nplt.show()\nset_matplotlib_formats('png')"
    ),
    "a drawing that fails": FIGURE
    + (
        "class Line(plt.Line2D):\n    def draw(self, renderer): raise ValueError('no line')\n"
        "plt.gca().add_line(Line([1], [1]))\ndisplay('before')"
    ),
}


def plain() -> dict[str, Any]:
    """Return what a real shell publishes."""
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from jupyter_client.session import json_packer
    from traitlets.config import Config

    found: list[Any] = []

    class Publisher(DisplayPublisher):
        def publish(self, data, metadata=None, *, transient=None, update=False, **_):
            name = (transient or {}).get("display_id", "")
            whole = ["update" if update else "display", name, [data, metadata or {}]]
            found.append(json.loads(json_packer(whole)))

        def clear_output(self, wait=False):  # noqa: FBT002
            found.append(["clear", "wait" if wait else "", None])

    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    shell = InteractiveShell.instance(config=config)
    shell.display_pub = Publisher()
    shell.kernel = None  # by which pandas tells a notebook from a terminal
    told = {}
    for name, code in CASES.items():
        found.clear()
        shell.run_cell(code)
        told[name] = list(found)
    return told


def rank() -> dict[str, Any]:
    """Return what a worker writes down."""
    from ddp_magic.rundir import RunDir
    from ddp_magic.worker.display import Displays

    told = {}
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir.create(Path(folder) / "run-1")
        displays = Displays(run, 0)
        displays.begin({"builtin": True, "wide": True})
        before = 0
        for name, code in CASES.items():
            try:
                exec(compile(code, "body", "exec"), {"__name__": "__main__"})
            except Exception:
                traceback.print_exc()
            displays.end()
            lines = run.displays().read_bytes().splitlines()
            told[name] = [_line(line) for line in lines[before:]]
            before = len(lines)
        import IPython

        assert IPython.get_ipython() is None
    return told


def _line(line: bytes) -> list[Any]:
    head, _, body = line.partition(b"\t")
    _, kind, name, *_ = json.loads(head)
    return [kind, name, json.loads(body) if body else None]


if __name__ == "__main__":
    print("\n" + json.dumps({"plain": plain, "rank": rank}[sys.argv[1]]()))
