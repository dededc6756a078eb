"""Measure what video transformers save when tokens of their clips are dropped or merged.

    python scripts/benchmarks/benchmark_tokens.py
    python scripts/benchmarks/benchmark_tokens.py --families videomae --hidden_size 768 --layers 12

Random weights, since only time is measured: clips whose right side stands still (`run_length` drops
it in all tubelets but the first), or clips of noise (`merge`). The model of transformers as it is,
the packed model with all tokens and the packed model with fewer take turns; medians over rounds.
`realised` is the share of time saved over the share of tokens removed, both of all layers and
against the packed model with all tokens. Prints JSON.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForVideoClassification, HfArgumentParser
from transformers.utils import logging

from temporal.models.clips.reduced_clips import ReducedClips


@dataclass
class BenchmarkArguments:
    """What to measure."""

    families: list[str] = field(
        default_factory=lambda: [
            *("videomae", "vivit", "timesformer", "vjepa2", "videoprism_vision_model")
        ],
        metadata={"help": "Model types of transformers."},
    )
    hidden_size: int = field(default=384, metadata={"help": "Width; heads are 64 wide."})
    layers: int = field(default=6, metadata={"help": "Layers."})
    image_size: int = field(default=160, metadata={"help": "Height and width of the frames."})
    num_frames: int = field(default=16, metadata={"help": "Frames of a clip."})
    clips: int = field(default=1, metadata={"help": "Clips of a batch."})
    removed: float = field(default=0.5, metadata={"help": "Share of the tokens to remove, about."})
    rounds: int = field(default=7, metadata={"help": "Timed rounds."})
    device: str = field(default="cpu", metadata={"help": "Where to compute."})


def model_of(family: str, args: BenchmarkArguments) -> Any:
    """A classifier with random weights."""
    fields: dict[str, Any] = {"patch_size": 16}
    if family == "vivit":
        fields = {"tubelet_size": [2, 16, 16]}
    if family == "vjepa2":
        fields.update(crop_size=args.image_size, frames_per_clip=args.num_frames)
    if family.startswith("videoprism"):
        temporal = max(1, args.layers // 4)
        fields = {"tubelet_size": [1, 16, 16], "num_temporal_layers": temporal}
        fields["num_spatial_layers"] = args.layers - temporal
    config = AutoConfig.for_model(
        family,
        hidden_size=args.hidden_size,
        num_attention_heads=args.hidden_size // 64,
        intermediate_size=4 * args.hidden_size,
        num_hidden_layers=args.layers,
        image_size=args.image_size,
        num_frames=args.num_frames,
        num_labels=10,
        **fields,
    )
    torch.manual_seed(0)
    return AutoModelForVideoClassification.from_config(config).eval().to(args.device)


def clips_of(args: BenchmarkArguments, tubelets: int, *, still: bool) -> torch.Tensor:
    """Normalised pixels of noise; a share of all patches repeats those of the first frame."""
    side = args.image_size
    pixels = torch.randn(args.clips, args.num_frames, 3, side, side)
    if still:  # the first tubelet stays, so more of the others goes
        columns = side // 16
        moving = round(columns * (1 - args.removed * tubelets / (tubelets - 1)))
        pixels[..., 16 * moving :] = pixels[:, :1, :, :, 16 * moving :]
    return pixels.to(args.device)


def seconds_of(runs: dict[str, Callable[[], Any]], args: BenchmarkArguments) -> dict[str, float]:
    """Median seconds of computations that take turns."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(args.rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if args.device != "cpu":
                torch.cuda.synchronize()
            if number:  # the first round warms up
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


@torch.inference_mode()
def measured(family: str, reduction: str, args: BenchmarkArguments) -> dict[str, Any]:
    """One family under one reduction."""
    model = model_of(family, args)
    reduced = ReducedClips(model)
    pixels = clips_of(args, args.num_frames // reduced.patch[0], still=reduction == "run_length")
    knob: dict[str, Any] = {"threshold": 0.1}
    if reduction == "merge":  # as many in each layer: the mean over layers is about as asked
        knob = {"keep_share": max(0.05, 1 - 2 * args.removed)}
    seconds = seconds_of(
        {
            "transformers": lambda: model(pixels),
            "packed, all tokens": lambda: reduced(pixels),
            "packed, fewer tokens": lambda: reduced(pixels, **knob),
        },
        args,
    )
    want, (got, all_tokens, all_macs) = model(pixels).logits, reduced(pixels)
    _, tokens, macs = reduced(pixels, **knob)
    removed = 1 - int(tokens.sum()) / int(all_tokens.sum())
    saved = 1 - seconds["packed, fewer tokens"] / seconds["packed, all tokens"]
    return {
        "family": family,
        "reduction": reduction,
        "largest_difference_with_all_tokens": float((got - want).abs().max()),
        "tokens": int(all_tokens.sum()) // args.layers // args.clips,
        "share_of_tokens_removed": removed,
        "share_of_macs_saved": 1 - int(macs.sum()) / int(all_macs.sum()),
        "share_of_time_saved": saved,
        "share_of_time_saved_against_transformers": (
            1 - seconds["packed, fewer tokens"] / seconds["transformers"]
        ),
        "realised": saved / removed,
        "seconds": seconds,
    }


def main() -> None:
    """Measure and print."""
    (args,) = HfArgumentParser(BenchmarkArguments).parse_args_into_dataclasses()
    logging.set_verbosity_error()
    rows = [
        measured(family, reduction, args)
        for family in args.families
        for reduction in ("run_length", "merge")
    ]
    machine = {
        "machine": platform.processor() or platform.machine(),
        "device": args.device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    print(json.dumps({"machine": machine, "arguments": vars(args), "results": rows}, indent=2))


if __name__ == "__main__":
    main()
