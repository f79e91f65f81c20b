"""Keys stay in the private file of values: no text that is written to be read has one."""

from __future__ import annotations

import ast

import pytest

from ddp_magic.collect.hiding import hide, holds_key
from ddp_magic.masking import Suspicion, mask_line, mask_text, suspicion

KEY = "CaNaRy7x42q9"


@pytest.mark.parametrize(
    ("told", "names"),
    [
        (
            Suspicion.SURE,
            (
                "api_key apiKey APIKey apikey HF_TOKEN hf_token authToken api_keys TOKEN MASTER_KEY "
                "user_password passwd pwd DB_PASSWORD CREDS credentials client_secret Authorization"
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
        ("note: key: value, tokens: many", "note: key: value, tokens: many"),
    ],
)
def test_a_line_is_masked_by_names_and_by_forms(line: str, masked: str):
    assert mask_line(line) == masked


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
    f'api_key = "{KEY}',
]


@pytest.mark.parametrize("text", LITERALS)
def test_a_key_in_source_is_hidden_and_every_line_stays_in_its_place(text: str):
    hidden = hide(text)

    assert KEY not in hidden
    assert hidden.count("\n") == text.count("\n")
    if text is not LITERALS[-1]:  # which is no Python to begin with
        ast.parse(hidden)


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
