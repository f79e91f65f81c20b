"""Keys stay in the private file of values: no text that is written to be read has one."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

from ddp_magic import options, overrides, script
from ddp_magic.collect import How
from ddp_magic.collect.hiding import hide, holds_key
from ddp_magic.collect.texts import parse
from ddp_magic.errors import CollectError
from ddp_magic.masking import Suspicion, mask_line, mask_text, suspicion
from ddp_magic.rundir import RunDir
from tests.kernel_side import KernelSide, kernel
from tests.notebook import Notebook

__all__ = ["kernel"]

KEY = "CaNaRy7x42q9"


@pytest.mark.parametrize(
    ("told", "names"),
    [
        (
            Suspicion.SURE,
            (
                "api_key apiKey APIKey apikey HF_TOKEN hf_token authToken api_keys TOKEN "
                "MASTER_KEY user_password passwd pwd DB_PASSWORD CREDS credentials "
                "client_secret Authorization"
            ),
        ),
        (Suspicion.SOME, "key token my_key k_token key2 KEY secret_name password_field"),
        (
            Suspicion.NONE,
            (
                "tokenizer keys monkey key_padding_mask num_tokens max_tokens pad_token PAD_TOKEN "
                "token_type_ids query_key_value key_states lr_key cache_key public_key keyboard "
                "keyword credit_limit secretary compass lr x"
            ),
        ),
    ],
)
def test_a_name_tells_whether_it_stands_for_a_key(told: Suspicion, names: str):
    assert {name: suspicion(name) for name in names.split()} == dict.fromkeys(names.split(), told)


@pytest.mark.parametrize(
    "text",
    [
        "hf_abcdefgh1234567890",
        "sk-proj-4242424242",
        "sk_live_4242424242",
        "ghp_0123456789abcdefABCD",
        "github_pat_0123456789_abcdefABCD",
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "xoxb" + "-123456789012-abc",
        "AIza" + "SyA1234567890abcdefghijklmnopqrstu",
        "eyJhbGciOiJI.eyJzdWIiOiIx.abc_def-123",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "Bearer 0123456789abcdefgh",
    ],
)
def test_a_key_is_known_by_its_form_wherever_it_stands(text: str):
    assert mask_text(f"see '{text}' there") == "see '***' there"
    assert hide(f"x = [{text!r}]") == "x = ['***']"


def test_a_password_in_an_address_is_masked_and_the_address_is_readable():
    assert mask_text("get postgres://bob:hunter2@host/db now") == "get postgres://***@host/db now"
    assert mask_text("https://host:8080/a@b ssh://git@host/x:y") == (
        "https://host:8080/a@b ssh://git@host/x:y"
    )


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("cfg={'password': 'a b', 'lr': 3}", "cfg={'password': ***, 'lr': 3}"),
        ("try sk-abc12345 again", "try *** again"),
        ("db_password=a(b)c", "db_password=***"),
        ("with the token a1b2c3d4e5, again", "with the token ***, again"),
        ("the token layer4.0.conv1.weight of a key value_pair", None),
        ("note: key: value, tokens: many", None),
    ],
)
def test_a_line_is_masked_by_names_and_by_forms(line: str, masked: str | None):
    assert mask_line(line) == (masked or line)


LITERALS = [
    f'api_key = "{KEY}"',
    f'lib.api_key = "{KEY}"',
    f'self.api_key: str = "{KEY}"',
    f'os.environ["HF_TOKEN"] = "{KEY}"',
    f'os.environ.setdefault("HF_TOKEN", "{KEY}")',
    f'getattr(cfg, "password", "{KEY}")',
    f'user, password = "bob", "{KEY}"',
    f'API_KEYS = ["{KEY}", "{KEY}"]',
    f'token = os.getenv("T") or "{KEY}"',
    f'password = "{KEY}" if here else "{KEY}"',
    f'password = "{KEY}".encode()',
    f'secret = b"{KEY}"',
    f'x = {{"password": "{KEY}"}}',
    f'dict(api_key=f"{KEY}{{x}}")',
    f'login("{KEY}")',
    f'lib.set_api_key("{KEY}")',
    f'SecretStr("{KEY}")',
    f'wandb.login(key="{KEY}")',
    f'if password == "{KEY}": pass',
    f'def f(password="{KEY}"): pass',
    f'f = lambda *, secret="{KEY}": 1',
    f'def get_secret():\n    return "{KEY}"',
    f'class A:\n    token: str = "{KEY}"',
    f'headers = {{"Authorization": f"Bearer {KEY}12345"}}',
    f"f\"a {{g(api_key=chr(1) + '{KEY}')}} b\"",
    f'url = "https://bob:{KEY}@host/x"',
    f'secret = """\n{KEY}\n"""; y = 2',
    f'api_key = ("abc"  # first\n   "{KEY}")',
    f'é = "ü"; api_key="{KEY}"; z = 3',
    f"x = 1  # password: {KEY}",
    f"x = 1  # api_key={KEY}",
    f"def f():\r\n\tlogin(token='{KEY}')\r\n",
    f'key = "{KEY}"',
    f'secret = """{KEY}\f{KEY}\u2028"""; y = 2\r\nz = 3',
    f'secret = ("{KEY}" + \n{"x + " * 700}x)',
    f'api_key = "{KEY}',
]


@pytest.mark.parametrize("text", LITERALS)
def test_a_key_in_source_is_hidden_and_every_line_stays_in_its_place(text: str):
    hidden = hide(text)

    assert KEY not in hidden
    assert [len(text.splitlines()), text.count("\n")] == [
        len(hidden.splitlines()),
        hidden.count("\n"),
    ]
    assert (parse(hidden) is None) == (parse(text) is None)


@pytest.mark.parametrize(
    "text",
    [
        'key = "val_loss"',
        'd["key"] = "layer4.0.conv2.weight"',
        'sorted(runs, key="loss")',
        'raise KeyError("no such key 12345")',
        'tokenizer.pad_token = "[PAD]"',
        'token, eos_token = "<s>", "</s>"',
        'AutoTokenizer.from_pretrained("Qwen/Qwen2.5-0.5B", token=True)',
        'getpass("Token: ")',
        'userdata.get("HF_TOKEN")',
        'api_key = os.environ["OPENAI_API_KEY"]',
        'add_argument("--token", help="your token")',
        'if "api_key" not in secrets: pass',
        '"""As in postgres://user:password@localhost/db"""',
        "for key in keys:  # the key: value pairs of a token",
    ],
)
def test_what_is_called_a_key_and_is_none_stays_readable(text: str):
    assert not holds_key(text)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A key in one place of a notebook, and what the body makes of it."""

    id: str
    cells: tuple[str, ...] = ()
    body: str
    value: object = KEY


LIBRARY = "import types; vault = types.ModuleType('vault'); vault.seen = []"
PLACES = [
    Place(id="global", cells=(f"api_key = '{KEY}'",), body="api_key"),
    Place(id="bytes", cells=(f"secret = b'{KEY}'",), body="secret.decode()"),
    Place(id="by its form alone", cells=(f"x = 'sk-{KEY}'",), body="x", value=f"sk-{KEY}"),
    Place(id="number", cells=("db_password = 7742077420",), body="db_password", value=7742077420),
    Place(id="address", cells=(f"db = 'pg://u:{KEY}@h'",), body="db", value=f"pg://u:{KEY}@h"),
    Place(id="list", cells=(f"x = ['{KEY}']",), body="x[0]"),
    Place(id="default", cells=(f"def f(api_key='{KEY}'):\n    return api_key",), body="f()"),
    Place(id="class attribute", cells=(f"class A:\n    TOKEN = '{KEY}'",), body="A.TOKEN"),
    Place(
        id="function", cells=(f"def f():\n    return dict(api_key='{KEY}')",), body="f()['api_key']"
    ),
    Place(
        id="f-string",
        cells=(f"def f(x):\n    api_key = f'{KEY}{{x}}'\n    return api_key",),
        body="f('')",
    ),
    Place(
        id="method",
        cells=(
            f"class A:\n    def f(self):\n        x = dict(key='{KEY}')\n        return x['key']",
        ),
        body="A().f()",
    ),
    Place(id="lambda", cells=(f"f = lambda: dict(token='{KEY}')['token']",), body="f()"),
    Place(
        id="closure",
        cells=(f"def g():\n    password = '{KEY}'\n    return lambda: password\nf = g()",),
        body="f()",
    ),
    Place(
        id="decorated",
        cells=(
            f"import functools\n@functools.cache\ndef f(password='{KEY}'):\n    return password",
        ),
        body="f()",
    ),
    Place(
        id="nested function",
        cells=(f"def f():\n    def g(secret='{KEY}'):\n        return secret\n    return g()",),
        body="f()",
    ),
    Place(
        id="dataclass",
        cells=(
            f"import dataclasses\n@dataclasses.dataclass\nclass A:\n    api_key: str = '{KEY}'",
        ),
        body="A().api_key",
    ),
    Place(
        id="comment", cells=(f"def f():\n    # password: {KEY}\n    return 1",), body="f()", value=1
    ),
    Place(
        id="another line of the cell",
        cells=(f"t = '{KEY}'\ndef f():\n    return 1",),
        body="f()",
        value=1,
    ),
    Place(
        id="read by a name in a string",
        cells=(f"HF_TOKEN = '{KEY}'",),
        body="globals()['HF_TOKEN']",
    ),
    Place(id="object", cells=(f"class A: pass\na = A()\na.key = '{KEY}'",), body="a.key"),
    Place(id="body", body=f"api_key = '{KEY}'\napi_key"),
    Place(id="comment of the body", body=f"x = 1  # api_key={KEY}\nx", value=1),
    Place(id="call of the body", cells=("def login(x): return x",), body=f"login('{KEY}')"),
    Place(id="lines of the body", body=f"secret = '''\n{KEY}'''\nsecret.strip()"),
    Place(
        id="patched library", cells=(f"import json\njson.api_key = '{KEY}'",), body="json.api_key"
    ),
    Place(
        id="setting of a library",
        cells=("import own_vault", f"own_vault.set_api_key('{KEY}', number=3)"),
        body="list(own_vault.seen)",
        value=[KEY, 3],
    ),
    Place(
        id="setting with an f-string",
        cells=("import own_vault\nend = '9'", f"own_vault.set_api_key(f'{KEY[:-1]}{{end}}')"),
        body="own_vault.seen[0]",
    ),
    Place(
        id="sys.argv",
        cells=(f"import sys\nsys.argv = ['a', '--token', '{KEY}', '--lr=3']",),
        body="sys.argv[2:]",
        value=[KEY, "--lr=3"],
    ),
]


@pytest.fixture
def vault(kernel: KernelSide, monkeypatch: pytest.MonkeyPatch):
    """A library that takes keys."""
    path = kernel.folder / "notebook" / "own_vault.py"
    path.write_text(
        "seen = None\ndef set_api_key(key, number=0):\n    global seen\n    seen = key, number\n"
    )
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setattr("sys.argv", list(sys.argv))
    yield
    sys.modules.pop("own_vault", None)
    vars(json).pop("api_key", None)


def readable(run: RunDir) -> dict[str, bytes]:
    """Return all files of a run but the private ones, which are checked to be private."""
    found = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    for path in found:
        assert path.stat().st_mode & 0o077 == 0, path
    return {p.name: d for p, d in found.items() if p != run.values and p.parent != run.blobs}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.id)
def test_a_key_is_in_no_readable_file_and_the_worker_has_it(
    kernel: KernelSide, vault, place: Place
):
    kernel.cells(*place.cells)
    definitions, run = kernel.define(place.body)

    assert [
        n for n, data in readable(run).items() if KEY.encode() in data or b"77420" in data
    ] == []
    assert KEY not in repr((definitions.items, definitions.notes, definitions.left_out))


ALL = """
import json, sys
from pathlib import Path
from ddp_magic.rundir import RunDir
from ddp_magic.worker.program import Program

found = []
for path in sys.argv[1:]:
    program = Program(RunDir(Path(path)))
    program.define()
    found.append(program.body())
print(json.dumps(found))
"""


def test_the_worker_has_every_key(kernel: KernelSide, vault):
    runs = []
    for place in PLACES:
        kernel.cells(*place.cells)
        runs.append(str(kernel.define(place.body)[1].path))
    done = subprocess.run(
        [sys.executable, "-c", ALL, *runs], capture_output=True, text=True, check=True, timeout=60
    )

    found = dict(zip([p.id for p in PLACES], json.loads(done.stdout), strict=True))
    assert found == {p.id: p.value for p in PLACES}


def test_a_traceback_shows_the_line_without_its_key(kernel: KernelSide):
    kernel.cells(f"def f():\n    return dict(api_key='{KEY}', x=1 / 0)")

    err = kernel.rank(f"password = '{KEY}'; f()").err

    assert KEY not in err
    assert "return dict(api_key='***', x=1 / 0)" in err
    assert "password = '***'; f()" in err


def test_a_key_on_the_line_is_in_no_readable_file(kernel: KernelSide):
    kernel.cells("def f(api_key, x): return api_key, x\npassword = ''", "cfg = {}")
    line = options.parse(f"api_key={KEY} password='{KEY}' x=sk-{KEY} # with password={KEY}")
    collector, run = kernel.collector("f('', ''), password")
    reached = collector.gather()
    bound = overrides.resolve(
        line.overrides,
        tree=reached.tree,
        reads=reached.names,
        stores=reached.stores,
        user_ns=kernel.space,
    )
    shown = [b.shown for b in bound]
    script.write(collector.finish(bound), run, header=[*shown, line.note])

    assert [name for name, data in readable(run).items() if KEY.encode() in data] == []
    assert line.note == "with password=***"
    assert shown == [
        "api_key=*** → f(api_key)",
        "password=*** → password",
        "x=*** → f(x)",
    ]


@pytest.mark.parametrize(
    ("cells", "body", "note"),
    [
        (
            f"import own_vault; own_vault.set_api_key('{KEY}', str(1))",
            "own_vault",
            "own_vault.set_api_key('***', str(1)) in Cell In[2] is not repeated in the workers.",
        ),
        (
            f"import own_vault; own_vault.seen = dict(); own_vault.seen['sk-{KEY}'] = 1",
            "own_vault",
            "own_vault.seen['***'], set in Cell In[3], is not sent to the workers.",
        ),
    ],
)
def test_a_note_has_no_key(kernel: KernelSide, vault, cells: str, body: str, note: str):
    kernel.cells(*cells.replace("; ", "\n").split("\n"))

    assert note in kernel.define(body)[0].notes


def test_what_is_shown_of_a_call_with_a_key_is_the_call(kernel: KernelSide, vault):
    kernel.cells("import own_vault", f"own_vault.set_api_key('{KEY}', number=3)")
    calls = [i for i in kernel.define("own_vault")[0].items if i.how is How.CALL]

    assert [call.shown for call in calls] == ["own_vault.set_api_key('***', number=3)"]


def test_a_refusal_has_no_key(kernel: KernelSide):
    kernel.cells(f"x = {{'sk-{KEY}': (i for i in [])}}")

    with pytest.raises(CollectError) as refused:
        kernel.gather("x")
    assert "x['***']" in str(refused.value)


RUN = """
import glob, os, pathlib, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel as DDP

def holds(path):
    try:
        return needle.encode() in pathlib.Path(path).read_bytes()
    except OSError:
        return False

needle = api_key
private = ("values.pkl", "blobs")
own = pathlib.Path(__file__).parent
files = [p for p in own.rglob("*") if p.is_file() and not set(private) & set(p.parts)]
lines = glob.glob("/proc/[0-9]*/cmdline")
given = [os.environ["HF_TOKEN"], password, login(api_key="KEY")]
dist.init_process_group()
DDP(untouched)(torch.ones(1, 2))
net = DDP(model)
net(torch.ones(len(sampler), 2)).sum().backward()
with torch.no_grad():
    for weight in net.parameters():
        weight -= weight.grad
train()
dist.destroy_process_group()
print("leaks:", [p.name for p in files if holds(p)], [p for p in lines if holds(p)])
given == [api_key] * 3 and [p.name for p in files]
"""


@pytest.mark.workers
def test_a_run_leaks_no_key_and_tells_what_it_has_changed(notebook: Notebook):
    notebook.cells(
        f"api_key = '{KEY}'\npassword = ''\ndef login(api_key): return api_key",
        "import torch\nmodel = torch.nn.Linear(2, 1); untouched = torch.nn.Linear(2, 1)",
        "history = {'loss': []}\nrounds = 0",
        "sampler = torch.utils.data.DistributedSampler([1, 2], num_replicas=1, rank=0)",
        "def train():\n    global rounds\n    rounds += 1\n    history['loss'].append(0.5)",
    )
    before = notebook.ns["model"].weight.tolist()
    line = f"%%ddp --nproc 2 -o history password='{KEY}' --env HF_TOKEN={KEY} # with token {KEY}-1"
    ran = notebook.run(line + RUN.replace("KEY", KEY))

    assert ran.error is None, ran.told
    assert "leaks: [] []" in ran.out
    assert {"main.py", "body.py", "program.json", "sourcemap.json", "spec.json"} <= set(ran.value)
    assert KEY not in ran.out + ran.err
    assert "sampler was made in this kernel; each rank gets it for its own part" in ran.err
    assert notebook.ns["history"] == {"loss": [0.5]}
    assert (
        "Rank 0 trained model and changed rounds, and here they are as before. Add -o model,rounds "
        "next time; %ddp_output model fetches one now."
    ) in ran.err
    assert notebook.ns["model"].weight.tolist() == before
    notebook.cells("%ddp_output model")
    assert notebook.ns["model"].weight.tolist() != before
