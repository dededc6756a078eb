"""Video processors of video-language models run without torchvision, each by its own rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Qwen2VLImageProcessorPil

from temporal.backbones.processors import load_processor

FRAMES = torch.randint(0, 256, (2, 3, 60, 91), generator=torch.Generator().manual_seed(0)).byte()


@pytest.mark.parametrize(
    ("settings", "sides"),
    [
        ({"size": {"shortest_edge": 1, "longest_edge": 56 * 56}}, (28, 56)),  # of both frames alike
        ({"size": {"shortest_edge": 100 * 100, "longest_edge": 10**6}}, (84, 140)),
        ({"do_resize": True, "patch_size": 10, "merge_size": 1}, (260, 400)),
    ],
)
def test_qwen_resizes_to_its_own_multiples(settings, sides):
    processor = load_processor(
        {"video_processor_type": "Qwen2VLVideoProcessor", "cap_pixels_per_frame": False, **settings}
    )
    made = processor([FRAMES], return_tensors="pt", do_sample_frames=False)
    _, rows, columns = made["video_grid_thw"][0].tolist()
    patch = processor.patch_size
    assert (rows * patch, columns * patch) == sides
    # The same patches as those of its own processor of images, of a frame that is there twice.
    one = FRAMES[:1].repeat(2, 1, 1, 1)
    made = processor([one], return_tensors="pt", do_sample_frames=False)
    of_images = Qwen2VLImageProcessorPil(**{**settings, "patch_size": patch})
    if "size" not in settings:
        of_images.size = processor.size
    image = Image.fromarray(FRAMES[0].permute(1, 2, 0).numpy())
    wanted = of_images([image], return_tensors="pt")["pixel_values"]
    difference = (made["pixel_values_videos"] - wanted).abs()
    assert difference.mean() < 0.01  # PIL rounds otherwise than torch
    assert difference.max() < 0.1


@pytest.mark.parametrize("do_resize", [True, False])
def test_smolvlm_resizes_by_its_longest_edge_by_lanczos_and_squares(do_resize):
    size = {"longest_edge": 64}
    processor = load_processor(
        {
            **{"video_processor_type": "SmolVLMVideoProcessor", "size": size},
            **{"max_image_size": {"longest_edge": 48}, "do_resize": do_resize},
            **{"image_mean": [0.0] * 3, "image_std": [1.0] * 3},
        }
    )
    made = processor([FRAMES], return_tensors="pt", do_sample_frames=False)["pixel_values"]
    assert made.shape == ((1, 2, 3, 48, 48) if do_resize else (1, 2, 3, 60, 91))
    if do_resize:
        image = Image.fromarray(FRAMES[0].permute(1, 2, 0).numpy())
        # 64 wide, 60 / 91 of that high and even, then square.
        wanted = image.resize((64, 42), Image.LANCZOS).resize((48, 48), Image.LANCZOS)
        difference = made[0, 0].permute(1, 2, 0) * 255 - torch.from_numpy(np.array(wanted).copy())
        assert difference.abs().max() <= 2


def test_qwen3_has_one_budget_of_pixels_for_all_frames():
    def rows(num_frames: int) -> tuple[int, ...]:
        frames = FRAMES[:1].repeat(num_frames, 1, 1, 1)
        size = {"shortest_edge": 1, "longest_edge": 8 * 64 * 64}
        kind = {"video_processor_type": "Qwen3VLVideoProcessor", "cap_pixels_per_frame": False}
        processor = load_processor({**kind, "size": size})
        return tuple(processor([frames], do_sample_frames=False)["video_grid_thw"][0].tolist())

    assert rows(2) == (1, 4, 6)  # 64 x 96, the nearest multiples of 32
    assert rows(32) == (16, 2, 2)  # 32 x 32
