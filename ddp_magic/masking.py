"""What looks like a key, and what is shown instead; imported by every process.

A name says it (``api_key``, ``HF_TOKEN``), or a text by its own form (``ghp_...``, a password in a
URL). A false alarm costs readability only, a miss costs the user a key.
"""

from __future__ import annotations

import functools
import re
from enum import IntEnum

__all__ = [
    "MASK",
    "Suspicion",
    "is_key",
    "looks_random",
    "looks_secret",
    "mask_line",
    "mask_text",
    "suspicion",
]

MASK = "***"

_HINT = re.compile(r"key|token|pass|pwd|secret|cred|authoriz|bearer", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET = re.compile(
    r"passw\w*|passphrases?|pwd|secrets?|cred|creds|credentials?|authorization|bearer"
    r"|\w+(?:password|passwd|secret|credentials?)"
)
_KEY = re.compile(
    r"(?!(?:monkey|donkey|turkey|hockey|jockey|whiskey|hotkey|turnkey)$)\w*key|\w*(?<!de)token"
)
_KEYS = re.compile(r"keys|tokens")
_OWNERS = re.compile(
    r"access|account|admin|anthropic|api|app|auth|aws|azure|bot|clearml|client|comet|csrf"
    r"|database|db|deploy|discord|encryption|gcp|gh|git|github|gitlab|google|hf|huggingface"
    r"|jwt|kaggle|license|master|mlflow|neptune|npm|oauth|openai|private|pypi|read|refresh"
    r"|secret|service|session|signing|slack|ssh|ssl|telegram|twitter|user|wandb|webhook|write"
)
_HARMLESS_BEFORE = re.compile(
    r"additional|attn|audio|batch|begin|bos|cache|class|cls|column|config|current|dataset|dict"
    r"|each|end|eos|extra|feature|first|foreign|frame|group|hot|image|img|index|input|label"
    r"|last|layer|loss|lr|mask|max|metric|min|model|n|new|next|num|object|output|pad|partition"
    r"|per|prev|primary|public|query|row|sample|sep|single|sort|special|start|state|stop"
    r"|target|text|this|unk|unknown|video|vision|word"
)
_HARMLESS_AFTER = re.compile(
    r"bias|board|classification|col|column|cond|count|counts|dim|dims|dropout|emb|embed"
    r"|embedding|embeddings|error|fn|frame|func|head|heads|ids|idx|index|iter|layer|layers|len"
    r"|length|limit|list|logits|map|mask|masks|norm|order|padding|point|points|pos|position"
    r"|proj|projection|ratio|sampler|seq|shape|size|states|tensor|tensors|type|types|value"
    r"|values|weight|weights|words"
)
_NAMES_IT = re.compile(r"env|field|file|filename|id|manager|name|names|path|store|var")
_FORMS = re.compile(
    r"""
      (?<![\w-])(?:
        hf_(?=[A-Za-z]*\d)[A-Za-z\d]{10,} | hf_[A-Za-z]{30,}
      | sk-(?=[\w-]*\d)[\w-]{8,} | [sr]k_(?:live|test)_\w{8,}
      | gh[pousr]_[A-Za-z\d]{16,} | github_pat_\w{20,} | glpat-[\w-]{16,}
      | (?:AKIA|ASIA)[A-Z\d]{12,}\b | xox[abeoprs]-[\w-]{8,} | AIza[\w-]{30,} | ya29\.[\w-]{20,}
      | npm_[A-Za-z\d]{30,} | pypi-AgE[\w-]{30,} | r8_[A-Za-z\d]{30,} | nvapi-[\w-]{20,}
      | gsk_[A-Za-z\d]{20,} | SG\.[\w-]{16,}\.[\w-]{16,}
      | eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*
      | Bearer[ ](?=\S*\d)[\w.~+/=-]{16,}
      )
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----(?:[\s\S]*?-----END[ ][A-Z ]*-----|[\s\S]*)
    | (?<=://)[^\s/:@'"{}<>*$]*:(?!(?:pass|password|pw|pwd)@)[^\s/@'"{}<>*$]+(?=@[^\s'"])
    """,
    re.VERBOSE,
)
_BEGINNINGS = (
    *("hf_", "sk-", "sk_", "rk_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"),
    *("AKIA", "ASIA", "xox", "AIza", "ya29.", "npm_", "pypi-", "r8_", "nvapi-", "gsk_", "SG."),
    *("eyJ", "Bearer ", "PRIVATE KEY", "://"),
)
"""Without one of these no text holds a key by its form; to look for them is quick."""
_CHARACTERS = re.compile(r"[A-Za-z0-9+/=_.~:!#%&-]{8,4096}")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+")
_WORDS = re.compile(r"[A-Za-z]+\d{0,2}(?:[_./:-][A-Za-z]*\d{0,2})*")
_ASSIGNED = re.compile(
    r"""([\w.-]+)(['"]?\s*[=:]\s*)('[^']*'?|"[^"]*"?|[({\[]|[^\s'"({\[][^\s'"]*)"""
)
_SPOKEN = re.compile(
    r"""([\w.-]*(?:key|token|password|secret|bearer))(\s+(?:is\s+)?)([\w+/.~!#%&-]{8,}=*)""",
    re.IGNORECASE,
)
"""As in a note: with the token abc..."""
_PLAIN = re.compile(r"[-+]?[\d_.]+(e[-+]?\d+)?|true|false|none|[({\[].*|\$\w+", re.IGNORECASE)


class Suspicion(IntEnum):
    """How much a name says that what it stands for is a key."""

    NONE = 0
    SOME = 1
    """It may as well be the key of a dict, or a token of a text."""
    SURE = 2


@functools.lru_cache(maxsize=16384)
def suspicion(name: str) -> Suspicion:
    """Tell how much a name says: ``monkey`` nothing, ``key`` something, ``api_key`` all."""
    if not _HINT.search(name):
        return Suspicion.NONE
    words = [word.lower() for word in _WORD.findall(name)]
    while words and words[-1].isdigit():
        words.pop()
    found = (_of_word(words, at) for at in range(len(words)))
    worst = max(found, default=Suspicion.NONE)
    if worst is Suspicion.SURE and _NAMES_IT.fullmatch(words[-1]):
        return Suspicion.SOME
    if worst is Suspicion.SOME and name.isupper() and words != ["key"]:
        return Suspicion.SURE
    return worst


def _of_word(words: list[str], at: int) -> Suspicion:
    word, before = words[at], words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    if _SECRET.fullmatch(word):
        return Suspicion.SURE
    if _KEYS.fullmatch(word):
        return Suspicion.SURE if _OWNERS.fullmatch(before) else Suspicion.NONE
    harmless = _HARMLESS_BEFORE.fullmatch(before) or _HARMLESS_AFTER.fullmatch(after)
    if harmless or not _KEY.fullmatch(word):
        return Suspicion.NONE
    owner = re.sub(r"(key|token)$", "", word) or before  # as in apikey, or in api_key
    return Suspicion.SURE if _OWNERS.fullmatch(owner) else Suspicion.SOME


def looks_secret(name: str) -> bool:
    """Whether a value of this name must not be shown: keys, tokens, passwords, credentials."""
    return suspicion(name) is not Suspicion.NONE


def is_key(text: str, name: str = "") -> bool:
    """Whether a text is, or holds, a key: by its form, or by the name that it stands for."""
    if any(begun in text for begun in _BEGINNINGS) and _FORMS.search(text):
        return True
    told = suspicion(name) if name else Suspicion.NONE
    if told is Suspicion.SURE:
        return len(text) > 2 and text[0] not in "<[{$*%" and text.lower() not in ("none", "auto")
    return told is Suspicion.SOME and looks_random(text)


def looks_random(text: str) -> bool:
    """Whether a text is no words: long enough, of letters and at least three digits."""
    if not _CHARACTERS.fullmatch(text) or _DOTTED.fullmatch(text) or _WORDS.fullmatch(text):
        return False
    digits = sum(c.isdigit() for c in text)
    return digits >= 3 and any(c.isalpha() for c in text)


def mask_text(text: str) -> str:
    """Mask what is a key by its own form, wherever it stands in a text."""
    return _FORMS.sub(MASK, text)


def mask_line(line: str, *, sure: bool = False) -> str:
    """Mask the values of secret-looking ``name=value`` in a line; numbers stay as they are.

    Args:
        line: The line.
        sure: Leave alone what only may be a key: the line is prose or code, and no %%ddp line.
    """

    def masked(match: re.Match[str]) -> str:
        name, equals, value = match.groups()
        if _PLAIN.fullmatch(value) or not looks_secret(name):
            return match[0]
        if (sure or ":" in equals) and not is_key(value.strip("'\""), name):
            return match[0]
        return f"{name}{equals}{MASK}"

    def spoken(match: re.Match[str]) -> str:
        name, between, value = match.groups()
        return f"{name}{between}{MASK}" if looks_secret(name) and looks_random(value) else match[0]

    return mask_text(_SPOKEN.sub(spoken, _ASSIGNED.sub(masked, line)))
