# ruff: noqa: E501  # a line of a program is read as one line
"""Numbers and progress bars, read from what programs print."""

from __future__ import annotations

import io
import json
import math
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tqdm import tqdm

from ddp_magic.events import Metrics, OutputChunk, Progress
from ddp_magic.follow import Follower
from ddp_magic.metrics.curves import Curves
from ddp_magic.metrics.scrape import Scrape
from ddp_magic.metrics.segments import LINE, MOST, WINDOW
from ddp_magic.metrics.tables import Tables
from ddp_magic.rundir import RunDir
from ddp_magic.views.picture import Picture

NAN, INF = math.nan, math.inf


def chunk(text: str | bytes, stream="stdout", skipped=0, rank=0) -> OutputChunk:
    data = text if isinstance(text, bytes) else text.encode()
    return OutputChunk(time=0, rank=rank, stream=stream, data=data, skipped=skipped)


def read(*texts: str | bytes) -> list[Metrics | Progress]:
    scrape = Scrape(0)
    return [event for text in texts for event in scrape.feed(chunk(text))]


def numbers(*texts: str | bytes) -> list[tuple[float | None, dict[str, float]]]:
    return [(e.step, dict(e.values)) for e in read(*texts) if isinstance(e, Metrics)]


def progress(*texts: str | bytes) -> list[tuple[str, float, float, float | None]]:
    found = [e for e in read(*texts) if isinstance(e, Progress)]
    return [(e.label, e.done, e.total, e.left) for e in found]


class Line(NamedTuple):
    text: str
    step: float | None
    values: dict[str, float]


LINES = {
    "a plain print": Line("loss: 0.12", None, {"loss": 0.12}),
    "an equals sign": Line("loss=0.12", None, {"loss": 0.12}),
    "spaces around it": Line("loss = 0.12", None, {"loss": 0.12}),
    "print with a comma": Line("loss 0.12", None, {"loss": 0.12}),
    "NaN": Line("loss: nan", None, {"loss": NAN}),
    "infinity": Line("loss=inf, acc=-inf", None, {"loss": INF, "acc": -INF}),
    "a tensor": Line("loss: tensor(0.5, device='cuda:0')", None, {"loss": 0.5}),
    "a tensor with a gradient": Line(
        "loss tensor(0.5, grad_fn=<NllLossBackward0>)", None, {"loss": 0.5}
    ),
    "a number of numpy 2": Line("{'loss': np.float64(0.5)}", None, {"loss": 0.5}),
    "a sentence's end": Line("Final loss: 0.5.", None, {"Final loss": 0.5}),
    "logging's prefix": Line("2026-01-01 12:00:00,123 INFO loss=0.1", None, {"loss": 0.1}),
    "basicConfig's prefix": Line("INFO:root:loss=0.1", None, {"loss": 0.1}),
    "a place in the source": Line("train.py:96 - loss: 0.5", None, {"loss": 0.5}),
    "a rank's prefix": Line("[rank0]: loss=0.1", None, {"loss": 0.1}),
    "words in front": Line("Validation loss: 0.3", None, {"Validation loss": 0.3}),
    "words that do not belong": Line("Epoch 3 done with loss: 0.3", 3, {"loss": 0.3}),
    "JSON": Line('{"epoch": 2, "loss": 0.5, "n": 3}', 2, {"loss": 0.5, "n": 3}),
    "Hugging Face": Line(
        "{'loss': 0.5, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': 0.5}",
        0.5,
        {"loss": 0.5, "grad_norm": 1.2, "learning_rate": 5e-05},
    ),
    "Hugging Face 5": Line(
        "{'loss': '0.5', 'grad_norm': '1.2', 'learning_rate': '5e-05', 'epoch': '0.5'}",
        0.5,
        {"loss": 0.5, "grad_norm": 1.2, "learning_rate": 5e-05},
    ),
    "Hugging Face's evaluation": Line(
        "{'eval_loss': 0.4, 'eval_accuracy': 0.9, 'eval_runtime': 1.2, "
        "'eval_samples_per_second': 83.1, 'eval_steps_per_second': 10.3, 'epoch': 1.0}",
        1,
        {"eval_loss": 0.4, "eval_accuracy": 0.9},
    ),
    "Hugging Face's end": Line(
        "{'train_runtime': 10.0, 'train_samples_per_second': 95.2, 'train_loss': 0.4, 'epoch': 3.0}",
        3,
        {"train_loss": 0.4},
    ),
    "Hugging Face's summary": Line("  eval_loss        =     0.4", None, {"eval_loss": 0.4}),
    "a tutorial": Line("Epoch [3/10], Step [100/500], Loss: 0.1234", 100, {"Loss": 0.1234}),
    "PyTorch's CIFAR tutorial": Line("[1,  2000] loss: 2.173", 2000, {"loss": 2.173}),
    "PyTorch's quickstart": Line("loss: 2.301494  [ 6464/60000]", 6464, {"loss": 2.301494}),
    "PyTorch's MNIST": Line(
        "Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.125301", 640, {"Loss": 2.125301}
    ),
    "PyTorch's MNIST test": Line(
        "Test set: Average loss: 0.0479, Accuracy: 9848/10000 (98%)",
        None,
        {"Test Accuracy": 98, "Test Average loss": 0.0479},
    ),
    "PyTorch's ImageNet": Line(
        "Epoch: [0][ 10/5005]\tTime  0.5 ( 1.2)\tData  0.3 ( 0.5)\tLoss 6.9e+00 (6.9e+00)\t"
        "Acc@1   0.39 (  0.10)\tAcc@5   0.78 (  0.50)",
        10,
        {"Loss": 6.9, "Acc@1": 0.39, "Acc@5": 0.78},
    ),
    "PyTorch's ImageNet test": Line(
        " * Acc@1 76.130 Acc@5 92.862", None, {"Acc@1": 76.13, "Acc@5": 92.862}
    ),
    "PyTorch's language model": Line(
        "| epoch   1 |   200/ 2928 batches | lr 5.00 | ms/batch 10.0 | loss  8.1 | ppl  3300.1",
        200,
        {"lr": 5, "loss": 8.1, "ppl": 3300.1},
    ),
    "torchvision": Line(
        "Epoch: [0]  [ 10/100]  eta: 0:00:10  lr: 0.01  loss: 1.2 (1.5)  acc1: 50.0 (40.0)  "
        "time: 0.1  data: 0.01  max mem: 1234",
        10,
        {"lr": 0.01, "loss": 1.2, "acc1": 50},
    ),
    "torchvision's test": Line(
        "Test:  [ 0/10]  eta: 0:00:10  loss: 1.2 (1.5)  acc1: 50.0 (50.0)",
        0,
        {"Test loss": 1.2, "Test acc1": 50},
    ),
    "timm": Line(
        "Train: 0 [  50/1251 (  4%)]  Loss: 6.93 (6.94)  Time: 0.5s,  500.00/s  "
        "(0.5s,  500.00/s)  LR: 1.000e-06  Data: 0.010 (0.100)",
        50,
        {"Loss": 6.93, "LR": 1e-6},
    ),
    "bars between": Line("epoch 3 | loss 0.12 | acc 91.2%", 3, {"loss": 0.12, "acc": 91.2}),
    "a step": Line("step 100: train_loss=0.5, lr=1e-4", 100, {"train_loss": 0.5, "lr": 1e-4}),
    "only a learning rate": Line("step 100: lr=1e-4, other=3", 100, {"lr": 1e-4}),
    "nanoGPT": Line(
        "iter 100: loss 2.4500, time 12.30ms, mfu 3.01%", 100, {"loss": 2.45, "mfu": 3.01}
    ),
    "nanoGPT's evaluation": Line(
        "step 250: train loss 2.1, val loss 2.3", 250, {"train loss": 2.1, "val loss": 2.3}
    ),
    "nanochat": Line(
        "step 5 | loss: 10.93 | lr 3.0e-4 | norm: 1.2 | dt: 93ms | tok/sec: 175,000",
        5,
        {"loss": 10.93, "lr": 3e-4, "norm": 1.2, "tok/sec": 175000},
    ),
    "fairseq": Line(
        "2021-01-01 12:00:00 | INFO | train_inner | epoch 001:    100 / 1000 loss=10.2, "
        "nll_loss=9.9, ppl=960, num_updates=100, lr=1e-05, gnorm=1.5",
        100,
        {"loss": 10.2, "nll_loss": 9.9, "ppl": 960, "lr": 1e-05, "gnorm": 1.5},
    ),
    "mmengine": Line(
        "2023/01/01 12:00:00 - mmengine - INFO - Epoch(train)  [1][ 50/100]  lr: 1.0000e-02  "
        "eta: 0:00:10  time: 0.1  data_time: 0.01  memory: 1000  loss: 0.5  loss_cls: 0.2",
        50,
        {"lr": 0.01, "loss": 0.5, "loss_cls": 0.2},
    ),
    "detectron2": Line(
        "[01/01 12:00:00 d2.utils.events]:  eta: 0:10:00  iter: 19  total_loss: 2.1  "
        "loss_cls: 0.8  time: 0.3  data_time: 0.01  lr: 0.0001  max_mem: 2000M",
        19,
        {"total_loss": 2.1, "loss_cls": 0.8, "lr": 0.0001},
    ),
    "DeepSpeed": Line(
        "[2023-01-01 12:00:00,000] [INFO] [logging.py:96:log_dist] [Rank 0] step=10, skipped=0, "
        "lr=[1e-05], mom=[(0.9, 0.95)]",
        10,
        {"lr": 1e-05},
    ),
    "Megatron": Line(
        " iteration       10/     100 | consumed samples:         2560 | elapsed time per "
        "iteration (ms): 500.0 | learning rate: 1.500E-04 | global batch size:   256 | "
        "lm loss: 1.05E+01 | loss scale: 1.0 | grad norm: 2.5 |",
        10,
        {"learning rate": 1.5e-4, "lm loss": 10.5, "grad norm": 2.5},
    ),
    "torchtitan": Line(
        "[titan] 2025-01-01 12:00:00,000 - root - INFO - step:  1  loss:  8.1309  "
        "grad_norm:  1.5  memory:  0.90GiB(0.95%)  tps: 1,234  mfu: 0.10%",
        1,
        {"loss": 8.1309, "grad_norm": 1.5, "tps": 1234, "mfu": 0.1},
    ),
    "XGBoost": Line(
        "[10]\ttrain-rmse:0.5\teval-rmse:0.6", 10, {"train-rmse": 0.5, "eval-rmse": 0.6}
    ),
    "a table of stable-baselines": Line("|    ep_rew_mean     | 21.3   |", None, {"ep_rew_mean": 21.3}),
    "a table of Lightning": Line("│         test_loss         │    0.25   │", None, {"test_loss": 0.25}),
    "reinforcement": Line("Episode 5 | reward: 12 | return: 3.5", 5, {"reward": 12, "return": 3.5}),
    "a line of validation": Line("Val: loss 0.3 acc 0.8", None, {"Val loss": 0.3, "Val acc": 0.8}),
    "a tag of validation": Line("Epoch 3 [val] loss=0.2", 3, {"val loss": 0.2}),
    "both in a line": Line(
        "epoch 1 train loss: 0.1 acc: 0.9 | val loss: 0.2 acc: 0.8",
        1,
        {"train loss": 0.1, "acc": 0.9, "val loss": 0.2, "val acc": 0.8},
    ),
    "names with slashes": Line("train/loss=0.5 val/f1=0.7", None, {"train/loss": 0.5, "val/f1": 0.7}),
    "detection": Line("mAP50: 0.61 mAP50-95: 0.44", None, {"mAP50": 0.61, "mAP50-95": 0.44}),
    "tqdm": Line(
        " 45%|####5     | 45/100 [00:10<00:12,  4.50it/s, loss=0.1, acc=0.93]",
        45,
        {"loss": 0.1, "acc": 0.93},
    ),
    "tqdm without a total": Line("45it [00:10,  4.50it/s, loss=0.1]", 45, {"loss": 0.1}),
    "tqdm with a unit": Line(
        "train: 45%|████▌     | 45/100 [00:10<00:12,  4.50batch/s, kl=0.1]", 45, {"kl": 0.1}
    ),
    "tqdm's slow steps": Line("4/4: 50%|█ | 2/4 [01:10<01:12, 35.1s/it, loss=1]", 2, {"loss": 1}),
    "tqdm that names a step": Line(
        " 45%|## | 45/100 [00:10<00:12, 4.50it/s, step=1045, loss=0.1]", 1045, {"loss": 0.1}
    ),
    "a metric in the description": Line(
        "Epoch 3 loss 0.5: 45%|## | 45/100 [00:10<00:12, 4.50it/s]", 45, {"loss": 0.5}
    ),
    "torchtune": Line(
        "1|45|Loss: 0.53: 45%|## | 45/100 [00:10<00:12, 4.5it/s]", 45, {"Loss": 0.53}
    ),
    "a bar of validation": Line(
        "val: 45%|## | 45/100 [00:10<00:12, 4.5it/s, loss=0.5]", 45, {"val loss": 0.5}
    ),
    "Lightning": Line(
        "Epoch 0:  50%|█████     | 5/10 [00:00<00:00, 12.3it/s, v_num=0, train_loss=0.5]",
        5,
        {"train_loss": 0.5},
    ),
    "Lightning's rich bar": Line(
        "Epoch 0/4 ━━━━━━━━━╸━━━━━━━ 10/20 0:00:01 • 0:00:02 12.34it/s v_num: 0.000 "
        "train_loss: 0.500",
        10,
        {"train_loss": 0.5},
    ),
    "Keras 2": Line(
        "12/100 [==>...........................] - ETA: 10s - loss: 0.12 - accuracy: 0.9",
        12,
        {"loss": 0.12, "accuracy": 0.9},
    ),
    "Keras 3": Line(
        "12/100 ━━━━━━━━━━━━━━━━━━━━ 10s 100ms/step - accuracy: 0.9 - loss: 0.12",
        12,
        {"accuracy": 0.9, "loss": 0.12},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_a_line_about_metrics_is_understood(name: str):
    text, step, values = LINES[name]
    ((found_step, found),) = numbers(text + "\n")

    assert found_step == step
    assert found == pytest.approx(values, nan_ok=True)


NO_METRICS = """
2026-01-01 12:00:00,123 INFO started
torch==2.13.0
version: 2
Ultralytics 8.3.0 Python-3.11 torch-2.13 CUDA:0 (NVIDIA H200, 143771MiB)
http://localhost:8080/x?loss=3
localhost:29500
127.0.0.1:29500 connected, score pending
/tmp/loss=0.5/x
checkpoints/epoch=3-val_loss=0.25.ckpt
epoch=3-val_loss=0.25-v1
rank: 0
rank 0: world_size=2 pid=123
step: 3, rank: 0
seed=0, loss=3
torch.Size([3, 4])
loss.shape: torch.Size([3, 4])
device: cuda:0, loss on cuda:0
  File "x.py", line 3, in loss
    loss = 0.5
     12 loss = 0.5
---> 12 loss = 0.5
x = 3
RuntimeError: loss=nan
UserWarning: loss: 3
0x7fabc loss
<Loss object at 0x7f0012340000>
{"lr": 0.001, "epochs": 10}
{"lr": 0.001, "batch_size": 32, "loss": "mse", "loss_weight": 0.5}
  "learning_rate": 0.001,
lr: 0.001
lr=3e-4 → Trainer(lr)
loss: 0.5 -> 0.4
Adam(lr=0.1)
Trainer(loss=0.5, acc=Metric(acc=0.3))
Namespace(lr=0.1, acc=3)
AdamW (lr: 0.001)
agnostic_nms=False, amp=True, batch=16, box=7.5, cls=0.5, conf=None, iou=0.7, lr0=0.01
optimizer: AdamW(lr=0.002, momentum=0.9) with parameter groups 57 weight(decay=0.0)
Using loss weights: cls=0.5, box=7.5
target_accuracy: 0.95
eval_steps=500
train_batch_size: 32
max_loss_scale=3
at 5: 30 people
The loss at step 5: 30 people
loss 5 times
score 10 points ahead
loss took 3ms, loss is 2.4G
loss 3/10, loss 0.5.1, loss 0x3, acc 12:30
The accuracy of this is unknown in 2026
Error: 404
errors: 3
precision=16-mixed
Epoch 3/10
Epoch 3, global step 500: 'val_loss' reached 0.25000 (best 0.25000), saving model as top 1
Epoch 00003: reducing learning rate of group 0 to 1.0000e-03.
train: 1000 val: 200
Train samples: 60000
Downloading: 45%|####  | 45.0M/100M [00:10<00:12, 4.5MB/s]
train: Scanning labels.cache... 128 images, 0 corrupt: 100%|████| 128/128 [00:00<?, ?it/s]
Downloading model ━━━━━━━━━━━━━━━━━━━━ 4.5/10.0 MB 1.2 MB/s eta 0:00:10
Loading weights... 45/100
| Name | Type | Params | Mode |
0 | loss_fn | CrossEntropyLoss | 0 | train
|    total_timesteps | 2048   |
""".strip("\n").splitlines()


@pytest.mark.parametrize("text", NO_METRICS)
def test_what_is_no_metric_does_not_become_one(text: str):
    assert numbers(text + "\n") == []


ULTRALYTICS = """
      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size
\r  0%|          | 0/8 [00:00<?, ?it/s]\
\r        1/3      2.41G      1.19      3.4      1.25         16        640:  12%|█▎        | 1/8 [00:00<00:03,  2.01it/s]\
\r        1/3      2.41G      1.2       3.5      1.3          16        640: 100%|██████████| 8/8 [00:02<00:00,  3.01it/s]
\r                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100%|██████████| 4/4 [00:01<00:00,  3.9it/s]
                   all        128        929       0.64       0.53       0.61       0.44
                person        128        254       0.74       0.63       0.71       0.54
"""
NEWER_ULTRALYTICS = """
\x1b[K      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size
\r\x1b[K        1/3      2.41G      1.19      3.4      1.25         16        640: 12% ━╸────────── 1/8 2.0it/s 0.5s<3.0s\
\r\x1b[K        1/3      2.41G      1.2       3.5      1.3          16        640: 100% ━━━━━━━━━━━━ 8/8 3.0it/s 2.6s
\r\x1b[K                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100% ━━━━━━━━━━━━ 4/4 3.9it/s 1.0s
                   all        128        929       0.64       0.53       0.61       0.44
                person        128        254       0.74       0.63       0.71       0.54
"""


@pytest.mark.parametrize("text", [ULTRALYTICS, NEWER_ULTRALYTICS], ids=["tqdm", "its own bar"])
def test_tables_of_ultralytics_are_read_by_their_heads(text: str):
    assert numbers(text) == [
        (1, {"box_loss": 1.19, "cls_loss": 3.4, "dfl_loss": 1.25}),
        (8, {"box_loss": 1.2, "cls_loss": 3.5, "dfl_loss": 1.3}),
        (None, {"P": 0.64, "R": 0.53, "mAP50": 0.61, "mAP50-95": 0.44}),
    ]
    assert ("Epoch 1/3", 1, 8, 3) in progress(text)
    assert ("Epoch 1/3", 8, 8, 0) in progress(text)


def test_a_table_of_fastai_is_read_by_its_head():
    text = (
        "epoch     train_loss  valid_loss  accuracy  time    \n"
        "0         0.512       0.401       0.912     00:05     \n"
        "1         0.412       nan         0.932     00:05     \n"
    )
    (first, second) = numbers(text)

    assert first == (0, {"train_loss": 0.512, "valid_loss": 0.401, "accuracy": 0.912})
    assert math.isnan(second[1]["valid_loss"])
    assert numbers("0         0.512       0.401       0.912     00:05     \n") == []


BARS = {
    "tqdm": ("x: 45%|##  | 45/100 [00:10<01:12, 4.5it/s]", ("x", 45, 100, 72)),
    "hours": ("45%|##  | 45/100 [00:10<1:00:12, 4.5it/s]", ("", 45, 100, 3612)),
    "left unknown": (" 0%|   | 0/100 [00:00<?, ?it/s]", ("", 0, 100, None)),
    "done": ("100%|###| 100/100 [00:10<00:00, 4.5it/s]", ("", 100, 100, 0)),
    "scaled": ("45%|## | 4.50M/10.0M [00:10<00:12, 4.5MB/s]", ("", 4.5e6, 1e7, 12)),
    "no room": ("x:  45% 45/100 [00:10<00:12,  4.50it/s]", ("x", 45, 100, 12)),
    "no rate": ("45%|## | 45/100 [00:10<00:12]", ("", 45, 100, 12)),
    "rich": ("Working... ━━━━━━━━━╸━━━━  45% 0:00:12", ("Working...", 45, 100, 12)),
    "rich, unknown": ("Working... ━━━━━━━━━╸━━━━   0% -:--:--", ("Working...", 0, 100, None)),
    "rich, counting": ("Epoch 3 ━━━━━╸━━━━ 45/60 0:00:10 0:00:12", ("Epoch 3", 45, 60, 12)),
    "Keras 2": ("12/100 [==>.....] - ETA: 1:10 - loss: 0.1", ("", 12, 100, 70)),
    "Keras 3": ("12/100 ━━━━━━━━━━━━ 10s 100ms/step - loss: 0.1", ("", 12, 100, 10)),
    "Keras, done": ("100/100 [====] - 5s 50ms/step - loss: 0.1", ("", 100, 100, 0)),
    "torchvision": ("Epoch: [0]  [ 10/100]  eta: 1 day, 0:00:10  lr: 0.1", ("Epoch: [0]", 10, 100, 86410)),
    "mmengine": ("2023 - mmengine - INFO - Epoch(train) [1][ 50/100]  eta: 0:00:10", ("Epoch(train) [1]", 50, 100, 10)),
}  # fmt: skip


@pytest.mark.parametrize("name", BARS)
def test_a_bar_tells_how_far_it_has_come(name: str):
    text, bar = BARS[name]

    assert progress(text + "\n") == [bar]


def test_a_bar_counts_before_its_line_ends():
    text = "\rx: 45%|##  | 45/100 [00:10<00:12, 4.5it/s, loss=0.5"

    assert read(text) == []
    assert len(read(text, "]")) == 2
    assert len(read(text, "]", "   \n")) == 2


def nested(*, leave: bool, names: bool, inner: int = 5, write: bool = False) -> list[bytes]:
    """Return what tqdm writes, as it arrives."""
    out = io.StringIO()
    shared = {"file": out, "mininterval": 0, "ncols": 90}
    for epoch in tqdm(range(3), desc="epochs" if names else None, **shared):
        bar = tqdm(range(inner), desc="train" if names else None, leave=leave, **shared)
        for batch in bar:
            bar.set_postfix(loss=epoch * inner + batch)
        if write:
            tqdm.write(f"epoch {epoch} is over", file=out)
    data = out.getvalue().encode()
    return [data[at : at + 500] for at in range(0, len(data), 500)]


@pytest.mark.parametrize("leave", [True, False])
@pytest.mark.parametrize("names", [True, False])
def test_of_nested_bars_the_outer_one_tells(leave: bool, names: bool):  # noqa: FBT001
    data = nested(leave=leave, names=names)
    found = progress(*data)

    assert {(label, total) for label, _, total, _ in found} == {("epochs" if names else "", 3)}
    assert sorted({done for _, done, _, _ in found}) == [0, 1, 2, 3]
    steps = [step for step, _ in numbers(*data)]
    assert steps == sorted(steps)
    assert steps[-1] == 15
    assert [v["loss"] for _, v in numbers(*data)][-1] == 14


def test_nested_bars_do_not_flicker_where_lines_are_printed_between():
    found = progress(*nested(leave=False, names=True, write=True))

    assert {label for label, *_ in found} == {"epochs"}


def rich_bars(epochs: int, batches: int) -> str:
    """Return what rich writes for two bars: all of them again, whichever has moved."""

    def frame(epoch: int, batch: int) -> str:
        bars = (("epochs", epoch, epochs), ("train", batch, batches))
        return "\n".join(f"{n} ━━━━━━╸━━━ {a}/{b} 0:00:10 loss: {a}" for n, a, b in bars)

    moves = [(e, b) for e in range(epochs) for b in range(batches + 1)]
    return "\r\x1b[2K\x1b[1A\x1b[2K".join(frame(*m) for m in [*moves, (epochs, batches)]) + "\n"


def test_of_the_bars_of_rich_the_topmost_unfinished_one_tells():
    found = progress(rich_bars(3, 4))

    assert {label for label, *_ in found} == {"epochs"}
    assert sorted({done for _, done, *_ in found}) == [0, 1, 2, 3]


def test_a_bar_that_did_not_move_has_no_new_numbers_and_does_not_stretch_the_curve():
    found = numbers(rich_bars(2, 4))

    assert len(found) == 1 + 5 + 1 + 5 + 1
    assert [step for step, _ in found] == sorted(step or 0 for step, _ in found)
    assert found[-1][0] == 8


def test_a_bar_that_was_given_up_does_not_hide_the_next():
    given_up = "\rfirst: 45%|##  | 45/100 [00:10<00:12, 4.5it/s]\nsomething else\n"
    next_ones = [f"\rsecond: {n}%|##  | {n}/100 [00:10<00:12, 4.5it/s]" for n in range(5)]

    assert [label for label, *_ in progress(given_up, *next_ones)][-1] == "second"


def test_bars_on_both_streams_do_not_flicker():
    scrape = Scrape(0)
    events = [
        event
        for n in range(20)
        for stream in ("stderr", "stdout")
        for event in scrape.feed(
            chunk(f"\r{stream}: {n}%|## | {n}/20 [00:10<00:12, 4.5it/s]", stream)
        )
    ]

    assert {event.label for event in events if isinstance(event, Progress)} == {"stderr"}


def test_bars_one_after_the_other_tell_one_after_the_other():
    text = "".join(
        f"\repoch {epoch}: {n * 50}%|##  | {n}/2 [00:10<00:12, 4.5it/s]" + "\n" * (n == 2)
        for epoch in range(2)
        for n in range(3)
    )

    assert [(label, done) for label, done, *_ in progress(text)] == [
        (f"epoch {epoch}", n) for epoch in range(2) for n in range(3)
    ]


def test_a_curve_never_goes_back():
    lines = [
        "initial loss: 3",
        *(f"Epoch [1/2], Step [{n}/20], Loss: 2" for n in (10, 20)),
        "Epoch 1 loss: 1.5",
        *(f"Epoch [2/2], Step [{n}/20], Loss: 1" for n in (10, 20)),
        "loss: 0.5",
    ]
    curves = Curves()
    for event in read("\n".join(lines) + "\n"):
        curves.add(event)

    assert curves.series["loss"].x == [0, 10, 20, 20, 20, 30, 30]
    assert curves.series["loss"].y == [3, 2, 2, 1.5, 1, 1, 0.5]


def test_names_that_differ_in_case_only_are_one():
    assert numbers("Loss: 2\nloss: 1\nLOSS 0\n") == [
        (None, {"Loss": 2}),
        (None, {"Loss": 1}),
        (None, {"Loss": 0}),
    ]


def test_a_bar_that_is_drawn_again_tells_nothing_new():
    bar = "\r 45%|## | 45/100 [00:10<00:12, 4.5it/s, loss=0.5]"

    assert len(numbers(bar * 3)) == 1


def test_colours_and_cursor_moves_do_not_hide_numbers():
    text = "\x1b[1m\x1b[32mloss\x1b[0m: \x1b[31m0.5\x1b[0m\x1b]8;;http://x\x1b\\\n"

    assert numbers(text) == [(None, {"loss": 0.5})]
    assert numbers("\x1b[2Kloss: 0.5\x1b[1A\x1b[K") == [(None, {"loss": 0.5})]


def test_the_line_around_a_gap_is_not_read():
    scrape = Scrape(0)
    events = [
        *scrape.feed(chunk("loss: 1")),
        *scrape.feed(chunk("2.5\nacc: 0.5\n", skipped=100)),
    ]

    assert [event.values for event in events] == [(("acc", 0.5),)]


PIECES = st.sampled_from([
    "loss: 0.5", "step 3: loss=1.5 acc=20%", "épochs: ", " 45%|██▌ | 45/100 [00:10<00:12, 4.5it/s, loss=0.1]",
    "12it [00:10, 1.2it/s, é=3]", "\r", "\n", "\r\n", "\x1b[A", "\x1b[32m", "\x1b[0m", "\x1b[2K", "\x1b[", "\x1b",
    "\b", "text", " ", "0", "]", "Epoch 1/3 ━━━━━━╸━━ 45/100 0:00:12", "{'loss': 0.5, 'epoch': 1.0}",
    "epoch train_loss acc", "1 0.5 0.6", "\x1b]0;title\x07", "é", "━", "loss", "=", "12/20 [===>...] - ETA: 3s - loss: 1",
])  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=25), st.lists(st.integers(0, 400), max_size=12))
def test_what_is_read_does_not_depend_on_chunks(pieces: list[str], cuts: list[int]):
    data = "".join(pieces).encode() + b"\n"
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    chunks = [data[a:b] for a, b in pairwise(places)]

    assert read(*chunks) == read(data)
    assert read(*(data[i : i + 1] for i in range(len(data)))) == read(data)


WORDS = st.sampled_from([
    "loss", "acc", "Accuracy", "val", "train", "step", "epoch", "lr", "eta", "all", "nan", "inf", "tensor(", "np.f(", "it/s", "s/it",
    *":=|[](){}<>,;.%/+-*'\"\t ━│→\\", " ", "  ", "0", "1.5", "1e5", "10", "1,234", "00:10", "1 day, ", "%|", "| ", "-:--:--", "?",
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=40))
def test_no_text_breaks_it(words: list[str]):
    for event in read("epoch loss acc\n", "".join(words) + "\n"):
        if isinstance(event, Metrics):
            assert all(isinstance(value, float) and name for name, value in event.values)
        else:
            assert 0 <= event.done < INF
            assert event.left is None or 0 <= event.left < INF


def test_a_reader_that_fails_does_not_take_the_run_with_it(tmp_path: Path, monkeypatch):
    run = RunDir.create(tmp_path / "run-1")
    run.log(0, "stdout").write_text("loss: 1\n")
    run.log(0, "stderr").write_text("loss: 1\n")

    def fail(self, text):
        raise ValueError

    monkeypatch.setattr(Tables, "read", fail)

    assert [type(event) for event in Follower(run, 1).read()] == [OutputChunk, OutputChunk]


def test_of_a_flood_the_newest_is_read_and_the_rest_costs_little():
    lines = b"".join(b"step %d: loss=0.5, acc=0.25, lr=1e-4\n" % n for n in range(1_000_000))
    scrape = Scrape(0)
    found: list[Metrics | Progress] = []
    began = time.process_time()
    for at in range(0, len(lines), 1 << 20):
        found += scrape.feed(chunk(lines[at : at + (1 << 20)]))
    took = time.process_time() - began

    assert found[-1].step == 999_999
    assert len(found) <= MOST * (len(lines) / (1 << 20) + 1)
    assert took < 5


HOSTILE = {
    "brackets": "[" * 1900,
    "parentheses": "(" * 900 + "loss=1 " * 130,
    "spaces": "acc" + " " * 1900,
    "digits": "acc=" + "1" * 1900,
    "counts": "1/2 " * 450 + "%|",
    "commas": "acc=1" + ",111" * 400,
    "words": "train " * 300,
    "colons": "loss:" * 380,
    "clocks": "eta: 1:2 " * 200 + "[1/2]",
    "bars": "━" * 600 + "1" * 100,
    "percents": "1%|" * 600 + "/s",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_line_takes_long(name: str):
    data = (HOSTILE[name] + "\n").encode() * 20
    assert len(data) < 20 * LINE + 20
    began = time.process_time()
    read(data[-WINDOW:])

    assert time.process_time() - began < 0.5


def test_a_line_without_an_end_is_not_kept():
    scrape = Scrape(0)
    for _ in range(100):
        list(scrape.feed(chunk("loss: 1 " * 1000)))

    assert len(scrape._streams["stdout"].segments._pending) <= LINE
    assert [e.values for e in scrape.feed(chunk("\nloss: 2\n"))] == [(("loss", 2.0),)]


def test_both_streams_of_the_ranks_that_are_asked_for_are_read(tmp_path: Path):
    run = RunDir.create(tmp_path / "run-1")
    follower = Follower(run, 3, scraped=(0, 1))
    for rank in range(3):
        run.log(rank, "stdout").write_text(f"loss: {rank}\n")
        run.log(rank, "stderr").write_text("\r 45%|## | 45/100 [00:10<00:12, 4.5it/s, acc=0.5]")
    events = list(follower.read())
    found = [e for e in events if isinstance(e, Metrics)]

    assert [(e.rank, e.values, e.logged) for e in found] == [
        (0, (("loss", 0.0),), False),
        (0, (("acc", 0.5),), False),
        (1, (("loss", 1.0),), False),
        (1, (("acc", 0.5),), False),
    ]
    assert [e.rank for e in events if isinstance(e, Progress)] == [0, 1]
    first = next(i for i, e in enumerate(events) if isinstance(e, Metrics))
    assert isinstance(events[first - 1], OutputChunk)


def test_what_a_worker_logs_comes_before_what_it_prints(tmp_path: Path):
    run = RunDir.create(tmp_path / "run-1")
    run.metrics(0).write_text(json.dumps([1, 5, {"loss": 0.25}]) + "\n")
    run.log(0, "stdout").write_text("step 5: loss: 0.2\n")
    curves = Curves()
    for event in Follower(run, 1).read():
        if isinstance(event, Metrics):
            curves.add(event)

    assert curves.series["loss"].y == [0.25]


def test_a_picture_keeps_the_bar_of_the_lowest_rank():
    picture = Picture()
    version = picture.version

    def draw(rank: int, done: float) -> None:
        picture.handle(Progress(time=0, rank=rank, label="x", done=done, total=10))

    draw(1, 1)
    draw(0, 2)
    draw(1, 3)

    assert picture.progress is not None
    assert (picture.progress.rank, picture.progress.done) == (0, 2)
    assert (picture.version, picture.progress_version) == (version, 2)
