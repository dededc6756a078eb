"""What a frame's model could reuse of the frame before, and what that saves on the clock.

    OMP_NUM_THREADS=1 python scripts/benchmarks/benchmark_reuse.py --data_dir CLIPS [--limit 40]

Three ways, each at its best: no decision costs anything here, and none is ever wrong.

frame    what was said of the frame before is said again where nothing changed (that is skipping)
box      the early layers compute the smallest box around all that changed, with the margin that
         their kernels see; the rest of their maps is kept (exact, as VideoIQ's skipped frames are)
channel  of each block's hidden channels a share is computed, and the others are kept from the frame
         before (AdaFuse); the channels differ from frame to frame, so frames run one by one

Prints JSON: the share of blocks, frames and boxes that change between the frames that a
reader reads, and the share of the model's time that each way saves.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import HfArgumentParser

from temporal.backbones.efficientnet_lite import load_imagenet_weights
from temporal.backbones.folding import fold
from temporal.data import Video, VideoError, collect
from temporal.models import EfficientNetLite0
from temporal.policies.read import uniform

_TILE = 32  # pixels of a side of the blocks that are compared
_EARLY = 5  # blocks up to a stride of 8; a pixel of their maps sees this many around it:
_MARGIN = 33
_SHARES = (1.0, 0.6, 0.4, 0.2)  # of the channels


@dataclass
class Arguments:
    """What is measured."""

    data_dir: str = field(metadata={"help": "Videos, as for temporal run."})
    limit: int = field(default=40, metadata={"help": "Videos."})
    num_frames: int = field(default=16, metadata={"help": "Uniform frames of each."})
    tolerance: float = field(
        default=2.0, metadata={"help": "Mean change of 0 to 255 up to which a block is the same."}
    )
    rounds: int = field(default=15, metadata={"help": "Timed rounds; the median counts."})


def changed_blocks(frames_FCHW: Tensor, tolerance: float) -> Tensor:
    """Which blocks differ from the frame before: bool `[F - 1, rows, columns]`."""
    change = (frames_FCHW[1:].float() - frames_FCHW[:-1].float()).abs().mean(1)
    cut = change.unflatten(2, (-1, _TILE)).unflatten(1, (-1, _TILE))
    return cut.mean((2, 4)) > tolerance


def box_of(changed: Tensor) -> tuple[int, int]:
    """Height and width of the box around what changed, with its margin inside a frame of 224."""
    sides = []
    for line in (changed.any(1), changed.any(0)):
        where = line.nonzero()[:, 0]
        low = max(0, int(where[0]) * _TILE - _MARGIN)
        high = min(224, (int(where[-1]) + 1) * _TILE + _MARGIN)
        sides.append(-(-(high - low) // 8) * 8)
    return sides[0], sides[1]


def seconds(forms: Mapping[Any, Callable[[], Any]], rounds: int) -> dict[Any, float]:
    """The median time of each, of this process; they take turns."""
    times: dict[Any, list[float]] = {name: [] for name in forms}
    for number in range(rounds + 1):
        for name, call in forms.items():
            start = time.process_time()
            call()
            if number:  # the first round warms up
                times[name].append(time.process_time() - start)
    return {name: statistics.median(each) for name, each in times.items()}


class Block:
    """An inverted residual of which some hidden channels are computed and the others kept."""

    def __init__(self, block: Any, x_1CHW: Tensor) -> None:
        self.block, self.kept_1CHW = block, block.depthwise(block.expand(x_1CHW))

    def __call__(self, x_1CHW: Tensor, share: float) -> Tensor:
        """The block's output with this share of its hidden channels computed."""
        block, hidden = self.block, self.kept_1CHW.shape[1]
        few = torch.randperm(hidden)[: max(1, round(share * hidden))].sort().values
        inner = x_1CHW[:, few] if not len(block.expand) else self._expand(x_1CHW, few)
        kept = self.kept_1CHW.clone()
        kept[:, few] = self._filter(inner, few)
        y_1CHW: Tensor = block.project(kept)
        return x_1CHW + y_1CHW if block.residual else y_1CHW

    def _expand(self, x_1CHW: Tensor, few: Tensor) -> Tensor:
        conv = self.block.expand[0]
        bias = None if conv.bias is None else conv.bias[few]
        return torch.nn.functional.conv2d(x_1CHW, conv.weight[few], bias).clamp_(0, 6)

    def _filter(self, inner_1CHW: Tensor, few: Tensor) -> Tensor:
        conv = self.block.depthwise[0]
        (kernel, _), (stride, _) = conv.kernel_size, conv.stride
        size = inner_1CHW.shape[-1]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads = [total // 2, total - total // 2] * 2
        padded = torch.nn.functional.pad(inner_1CHW, pads)
        bias = None if conv.bias is None else conv.bias[few]
        found = torch.nn.functional.conv2d(
            padded, conv.weight[few], bias, stride=stride, groups=len(few)
        )
        return found.clamp_(0, 6)


def folded_lite0() -> Any:
    """The backbone as it is read: norms inside its convolutions."""
    model = load_imagenet_weights(EfficientNetLite0()).eval()
    row = torch.zeros(1, 3, 224, 224)
    return fold(model, lambda net, inputs: net(*inputs), [row]) or model


def look(args: Arguments) -> tuple[list[float], list[bool], list[tuple[int, int]]]:
    """Shares of blocks that changed, whether a frame is the one before, boxes around changes."""
    blocks, same, boxes = [], [], []
    for item in collect(args.data_dir, kind="video", limit=args.limit):
        try:
            with Video(item.value) as video:
                frames = video.read(uniform(len(video), args.num_frames), size=(224, 224))
        except VideoError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        for changed in changed_blocks(frames, args.tolerance):
            blocks.append(changed.float().mean().item())
            same.append(not bool(changed.any()))
            boxes.append((0, 0) if same[-1] else box_of(changed))
    return blocks, same, boxes


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    (args,) = HfArgumentParser(Arguments).parse_args_into_dataclasses()  # type: ignore[arg-type]
    blocks, same, boxes = look(args)
    model = folded_lite0()
    pixels = torch.rand(1, 3, 224, 224)
    parts, inner = [], model.stem(pixels)
    for block in model.blocks:
        parts.append(Block(block, inner))
        inner = block(inner)

    def channels(share: float) -> None:
        inner = model.stem(pixels)
        for part in parts:
            inner = part(inner, share)
        model.head(inner).mean((2, 3))

    def early(height: int, width: int) -> None:
        model.blocks[:_EARLY](model.stem(pixels[:, :, :height, :width]))

    whole = (224, 224)
    forms: dict[Any, Callable[[], Any]] = {"whole": lambda: model(pixels)}
    forms |= {share: partial(channels, share) for share in _SHARES}
    forms |= {box: partial(early, *box) for box in {whole, *boxes} - {(0, 0)}}
    took = {**seconds(forms, args.rounds), (0, 0): 0.0}
    of_boxes = [took[whole] - took[box] for box in boxes]
    result = {
        "data": Path(args.data_dir).name,
        "pairs": len(blocks),
        "tolerance": args.tolerance,
        "blocks_changed": statistics.mean(blocks),
        "frames_unchanged": statistics.mean(same),
        "box_area": statistics.mean(height * width / 224**2 for height, width in boxes),
        "ms_whole": 1e3 * took["whole"],
        "early_share": took[whole] / took["whole"],
        "saved_by_frame": statistics.mean(same),
        "saved_by_box": statistics.mean(of_boxes) / took["whole"],
        "saved_by_box_where_something_changed": sum(
            saved for saved, still in zip(of_boxes, same, strict=True) if not still
        )
        / took["whole"]
        / max(1, len(same) - sum(same)),
        "saved_by_channel": {f"{s:.0%} computed": 1 - took[s] / took["whole"] for s in _SHARES},
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
