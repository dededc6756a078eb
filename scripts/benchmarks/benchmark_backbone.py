"""Measure the image backbone that frames are read by: as it is, folded, fused, in bfloat16.

    python scripts/benchmarks/benchmark_backbone.py --output_dir out/backbone
    python scripts/benchmarks/benchmark_backbone.py --backbone resnet18.json --compile

All forms get the same images, one form after the other, round after round; figures are medians of
wall and processor seconds, and ratios are medians of the rounds' ratios. `as it is` is the model's
own forward on the whole batch, with the layout that readers give it; `as it is read` is what a
reader's stage runs. Differences are shares of the largest feature. Prints JSON.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from temporal.backbones.efficientnet_lite import EfficientNetLite0, load_imagenet_weights
from temporal.backbones.folding import fold
from temporal.backbones.fusing import Form
from temporal.backbones.image import ImageBackbone, describe

PLAIN = "as it is"
Run = Callable[[Tensor], Tensor]


def main() -> None:
    """Time each form of the backbone, and print or write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", help="a configuration of transformers (JSON), random weights")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile of the folded one too"
    )
    parser.add_argument("--output_dir", type=Path, help="also write results.json there")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    results = measure(args)
    print(json.dumps(results, indent=2))
    if args.output_dir:
        args.output_dir.mkdir(parents=True, exist_ok=True)
        (args.output_dir / "results.json").write_text(json.dumps(results, indent=2) + "\n")


@torch.inference_mode()
def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All forms, interleaved."""
    images = torch.randn(args.batch_size, 3, args.image_size, args.image_size)
    backbone = make_backbone(args.backbone)
    forms = make_forms(args, backbone, images)
    first = {name: form(images).float() for name, form in forms.items()}
    made = backbone.for_inference.form or Form()
    wall: dict[str, list[float]] = {name: [] for name in forms}
    processor: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(args.rounds):
        for name, form in forms.items():
            start, used = time.perf_counter(), time.process_time()
            form(images)
            processor[name].append(time.process_time() - used)
            wall[name].append(time.perf_counter() - start)
    scale = first[PLAIN].abs().max()
    table = {
        name: {
            "wall_ms_per_image": 1e3 * statistics.median(wall[name]) / args.batch_size,
            "processor_ms_per_image": 1e3 * statistics.median(processor[name]) / args.batch_size,
            "times_faster_wall": ratio(wall[PLAIN], wall[name]),
            "times_faster_processor": ratio(processor[PLAIN], processor[name]),
            "difference": float((first[name] - first[PLAIN]).abs().max() / scale),
        }
        for name in forms
    }
    return {
        **{"read_as": made.name, "why_not_fused": made.why},
        **{"batch_size": args.batch_size, "image_size": args.image_size, "rounds": args.rounds},
        **{"threads": torch.get_num_threads(), "machine": platform.processor(), "forms": table},
        **{"cpu": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__},
        **{"transformers": transformers.__version__, "python": platform.python_version()},
    }


def make_forms(args: argparse.Namespace, backbone: ImageBackbone, images: Tensor) -> dict[str, Run]:
    """What is compared."""
    in_half = copy.deepcopy(backbone).bfloat16()
    folded: Any = fold(backbone.model, backbone.features_of, [images])
    forms: dict[str, Run] = {
        PLAIN: lambda x: backbone.features_of(backbone.model, [laid_out(x)]),
        "as it is read": backbone.features,
        "as it is, bfloat16": lambda x: in_half.features_of(
            in_half.model, [laid_out(x.bfloat16())]
        ),
        "as it is read, bfloat16": lambda x: in_half.features(x.bfloat16()),
    }
    if folded is not None:
        forms["folded, whole batch"] = lambda x: backbone.features_of(folded, [laid_out(x)])
    if args.compile:
        compiled = torch.compile(folded or backbone.model)
        forms["folded, torch.compile"] = lambda x: backbone.features_of(compiled, [laid_out(x)])
    return forms


def laid_out(images: Tensor) -> Tensor:
    """Channels last, as readers give them."""
    return images.contiguous(memory_format=torch.channels_last)


def make_backbone(path: str | None) -> ImageBackbone:
    """EfficientNet-Lite0 with its weights, or a configuration's model."""
    if path is None:
        model = load_imagenet_weights(EfficientNetLite0())
        return ImageBackbone(describe(model), with_classes=False, model=model).eval()
    described = json.loads(Path(path).read_text())
    return ImageBackbone(described, with_classes=False).eval()


def ratio(plain: list[float], other: list[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(plain, other, strict=True))


if __name__ == "__main__":
    main()
