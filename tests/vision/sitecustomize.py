"""Lets torchvision's wheel from PyPI, which wants a GPU's torch, be imported beside one for CPUs.

Every process that has this directory on its PYTHONPATH runs it, and it does nothing until
torchvision is imported. Ultralytics needs that import, its version and, for detection, one op.
"""

from __future__ import annotations

import sys
from importlib.metadata import version


class _Finder:
    """Comes when torchvision looks for its ops, after it has failed to load them."""

    @staticmethod
    def find_spec(name, *_):
        if name == "torchvision._meta_registrations":
            sys.meta_path.remove(_Finder)
            if not version("torchvision").endswith("+cpu"):
                _define_ops()


def _define_ops():
    import torch

    if torch.version.cuda is not None:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CPU")
    extension = sys.modules["torchvision.extension"]
    extension._assert_has_ops = lambda: None
    extension._ops_of_tests = library  # which are gone with it


def _nms(boxes, scores, threshold):
    """Keep a box unless it overlaps too much with a better one that is kept."""
    import torch

    kept = []
    order = scores.argsort(descending=True)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while order.numel():
        best, order = order[0], order[1:]
        kept.append(best)
        corner = torch.maximum(boxes[best, :2], boxes[order, :2])
        other = torch.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = (other - corner).clamp(min=0).prod(1)
        order = order[shared / (areas[best] + areas[order] - shared) <= threshold]
    return torch.stack(kept) if kept else order


sys.meta_path.insert(0, _Finder)
