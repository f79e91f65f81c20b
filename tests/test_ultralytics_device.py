"""What `device` asks for, and what the ranks of a run get for it; a table, without torch."""

from __future__ import annotations

from typing import Any

import pytest

from ddp_magic.ultralytics_device import asked, granted


class Device:
    """Is written as torch.device("cuda", 1) is."""

    def __str__(self) -> str:
        return "cuda:1"


@pytest.mark.parametrize(
    ("device", "ids"),
    [
        *((device, []) for device in (None, "", " ", "None", "cuda", "cuda:", [], (), [None], ",")),
        *((device, ["0"]) for device in (0, "0", "cuda:0", [0], ("0",), "[0]", "'0'", "CUDA:0")),
        *((device, ["0", "1"]) for device in ([0, 1], "0,1", "0, 1,", "(0, 1)", '["0", "1"]')),
        ("cuda:0,cuda:1", ["0", "1"]),
        (["cuda:0", Device()], ["0", "1"]),
        ("cpu", ["cpu"]),
        ("cpu:0", ["cpu"]),
        ("mps:0", ["mps:0"]),
        ("-1,-1", ["-1", "-1"]),
        (float("nan"), ["nan"]),
        (True, ["true"]),
    ],
)
def test_the_ids_in_a_device(device: object, ids: list[str]) -> None:
    assert asked(device) == ids


@pytest.mark.parametrize(
    ("device", "ranks", "gpus", "got"),
    [
        (None, 2, True, "0,1"),
        ([0, 1], 2, True, "0,1"),
        ([-1, -1], 2, True, "0,1"),
        ("-1", 1, True, "0"),
        ("cpu:0", 1, True, "cpu"),
        ("mps", 2, False, "mps"),
        ("xpu:0,1", 2, True, "xpu:0,1"),
        (None, 2, False, "cpu"),
        ("cpu:0", 2, False, "cpu"),
        ("cpu", 2, True, None),
        ("-1", 2, True, None),
        ("-1", 1, False, None),
        ([1, 0], 2, True, None),
        ([0, 1, 2], 2, True, None),
        ([0, 1], 2, False, None),
        (float("nan"), 1, True, None),
        (True, 1, True, None),
    ],
)
def test_ranks_get_what_is_theirs_or_nothing(
    device: object, ranks: int, gpus: Any, got: object
) -> None:
    assert granted(device, ranks, gpus=gpus) == got
