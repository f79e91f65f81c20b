"""Runs in the kernel: which names, beside a number in a line, are those of a metric."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

__all__ = ["HINTS", "PHASES", "QUALIFIERS", "Kind", "kind", "words"]


class Kind(Enum):
    """What a name says of the number beside it."""

    METRIC = "metric"
    """It is one, and the line is about metrics."""
    WEAK = "weak"
    """One that stands in configurations too: the line needs another metric, or a counter."""
    OTHER = "other"
    """One where the line is about metrics."""
    NEVER = "never"
    """A counter, a clock, a place, an identity."""
    SETTING = "setting"
    """One, and so are all others in the line."""


def words(text: str) -> frozenset[str]:
    """Return the words of a text, as a set."""
    return frozenset(text.split())


PHASES = words("train training val valid validation eval evaluation test testing dev")
"""Parts of a run."""
_METRICS = words(
    """
    loss losses logloss nll elbo kl acc accuracy auc auroc auprc roc map miou iou dice jaccard
    bleu chrf meteor rouge cider wer cer ter mse rmse mae mape smape psnr ssim lpips fid
    ppl perplexity bpb bpc bpd reward rewards score recall specificity sensitivity mcc kappa
    rew f1 r2 top1 top5 bacc mcrmse
    """
)
_WEAK = words("lr error err precision return learning gnorm")
_CONFIGURED = words(
    """
    weight weights coef coeff scale scaler fn func type function mode name names alpha beta gamma
    lambda factor margin threshold thresh thr target goal limit patience tolerance tol eps epsilon
    decay smoothing delta size sizes batch num count ratio fraction split workers every interval
    freq frequency dataset data dir path len length samples examples steps epochs files images
    max_steps model models case index idx set subset ignore init reduction clip warmup
    """
)
"""With one of these a metric's word names a setting, as ``loss_weight`` or ``eval_steps``."""
_NEVER = words(
    """
    rank world pid tid ppid port seed version v num time date datetime eta elapsed remaining
    runtime duration mem memory vram gpu gpus cuda cpu cpus device devices node host id uid uuid
    epoch epochs step steps iter iters iteration iterations it itr batch batches update updates
    size shape dim line col column threads workers num_workers world_size second per
    instances images total timestep timesteps timestamp class classes parameters params
    delta patience ep episode round item file page cell attempt signal exit code errno status
    """
)
_SETTINGS = words(
    """
    seed random_seed batch_size train_batch_size num_workers weight_decay world_size dropout
    hidden_size hidden_dim num_layers num_train_epochs num_epochs max_epochs max_steps
    warmup_steps warmup_ratio warmup_epochs gradient_accumulation_steps label_smoothing
    """
)
QUALIFIERS = PHASES | words(
    """
    avg average mean total running smoothed best final current overall min max macro micro
    lm mlm cls box mask dfl policy value actor critic generator discriminator gan kl nll
    cross entropy reconstruction recon contrastive distillation student teacher
    learning grad gradient loss f1 top-1 top-5 top1 top5 balanced word char token pixel explained
    ep episode masked auxiliary aux regression classification
    """
)
"""Words that may stand before a name and then belong to it, as in ``val loss: 0.3``."""
HINTS = frozenset(
    {re.sub(r"\d+", "", word) for word in _METRICS | _WEAK | PHASES}
    | {p + m for p in (*PHASES, "avg", "total", "mean") for m in ("loss", "acc", "accuracy")}
    | {"ap"}
)
"""Lower-case words of letters, of which one is in every text that has a metric's name."""

_CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_PLAIN = re.compile(r"[a-z0-9]+")
_MEAN_AP = re.compile(r"(?:^|[^A-Za-z])m?AP(?![a-zA-Z])|map_?\d", re.ASCII)


@lru_cache(maxsize=4096)  # a run has few names, and prints them again and again
def kind(name: str) -> Kind:
    """Return what a name says."""
    if name in _SETTINGS:
        return Kind.SETTING
    parts = set(_PLAIN.findall(name.lower())) | {w.lower() for w in _CAMEL.findall(name)}
    metric = parts & (_METRICS - {"map"}) or _MEAN_AP.search(name)
    if metric and not parts & _CONFIGURED:
        return Kind.METRIC
    if name.endswith((".py", ".pt", ".pth", ".ckpt")) or (not metric and parts & _NEVER):
        return Kind.NEVER
    first = _PLAIN.search(name.lower())
    if first and first[0] in PHASES:
        bare = len(parts) == 1 or parts & _CONFIGURED
        return Kind.NEVER if bare else Kind.METRIC
    if parts & _WEAK and not parts & _CONFIGURED:
        return Kind.WEAK
    return Kind.OTHER if parts & {"loss", "grad", "norm"} or not parts & _CONFIGURED else Kind.NEVER
