"""AdaFocus: where it looks, what it reads there, and that it learns to look."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from temporal.backbones.image import ImageBackbone
from temporal.data import Video
from temporal.models import AdaFocusConfig
from temporal.models.video.ada_focus import soft_crops

from .test_samplers import fresh
from .video_readers import SIDE, SIZES, video_reader

CROP = SIDE // 2


def test_soft_crops_at_whole_pixels_are_the_pixels() -> None:
    frames = torch.rand(3, 3, 8, 12)
    corners = torch.tensor([[0.0, 0.0], [0.5, 0.25], [0.25, 0.5]])
    crops = soft_crops(frames, corners, 0.5, (4, 6))
    torch.testing.assert_close(crops[0], frames[0, :, :4, :6])
    torch.testing.assert_close(crops[1], frames[1, :, 4:, 3:9])
    torch.testing.assert_close(crops[2], frames[2, :, 2:6, 6:])


def test_soft_crops_tell_where_to_go() -> None:
    """On a slope that rises to the right, the mean of a crop grows by it and by nothing else."""
    frame = torch.arange(16.0).expand(1, 1, 16, 16)
    corner = torch.tensor([[0.25, 0.25]], requires_grad=True)
    mean = soft_crops(frame, corner, 0.5, (4, 4)).mean()
    assert mean.item() == pytest.approx(7.5)
    (slope,) = torch.autograd.grad(mean, corner)
    torch.testing.assert_close(slope, torch.tensor([[0.0, 16.0]]))


@pytest.mark.parametrize(
    ("corner", "size", "box"),
    [
        ((0.0, 0.0), (48, 64), (0, 0, 24, 32)),
        ((0.5, 0.5), (48, 64), (24, 32, 24, 32)),
        ((0.5, 0.26), (5, 5), (2, 1, 2, 2)),
        ((0.5, 0.5), (1, 1), (0, 0, 1, 1)),
    ],
)
def test_boxes_lie_in_the_frame(corner: Any, size: Any, box: Any) -> None:
    assert video_reader("ada_focus").box(corner, size) == box


def test_it_looks_at_the_middle_of_what_its_map_says() -> None:
    reader = video_reader("ada_focus")
    glances = torch.randint(0, 256, (2, 3, SIDE, SIDE))
    with torch.no_grad():
        weights = reader.focus(reader.glance_net.maps(glances)).flatten(1).softmax(-1)
        corner, _ = reader._look(glances)
    places = (torch.arange(4) + 0.5) / 4
    middle = torch.stack(
        [(weights * places.repeat_interleave(4)).sum(1), (weights * places.repeat(4)).sum(1)], 1
    )
    torch.testing.assert_close(corner, (middle - 0.25).clamp(0, 0.5))


def test_the_crop_alone_is_read(single_gop: Any) -> None:
    """Of the video's own pixels, in the proportions of its frames."""
    reader, video = video_reader("ada_focus"), Video(single_gop)
    asked: list[Any] = []
    read = video.read

    def noted(units: Any, **options: Any) -> Any:
        asked.append(options)
        return read(units, **options)

    video.read = noted  # type: ignore[method-assign]
    trace = reader(video).trace
    assert list(trace.read) == [30, 0, 59, 15, 44]
    for options in asked:
        assert options["size"] == (CROP, CROP)
        top, left, height, width = options["region"]
        assert (height, width) == (24, 32) and 0 <= top <= 24 and 0 <= left <= 32
    assert trace.cost.frames_decoded == trace.cost.frames_glanced == 60


def test_in_evaluation_it_says_what_soft_crops_say_at_whole_pixels() -> None:
    reader = video_reader("ada_focus")
    frames = torch.randint(0, 256, (2, 3, SIDE, SIDE)).float()
    corner = torch.tensor([[0.25, 0.5], [0.0, 0.125]])
    hard = reader.crops(frames, corner)
    torch.testing.assert_close(hard, reader.train().crops(frames, corner), atol=1e-3, rtol=1e-5)


def corners_tell(num_videos: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """In a corner of each frame there is a patch whose colour is the class, of 12 x 12 pixels.

    A glance has no colours: it sees where the patch is, and not what it is.
    """
    pixels = torch.randint(0, 60, (num_videos, 2, 3, SIDE, SIDE)).float()
    labels = torch.randint(2, (num_videos,))
    corner = torch.randint(2, (num_videos, 2, 2))
    colours = torch.tensor([[240.0, 120.0, 0.0], [0.0, 120.0, 240.0]])[labels]
    for video in range(num_videos):
        for step in range(2):
            top, left = (corner[video, step] * 20).tolist()
            patch = pixels[video, step, :, top : top + 12, left : left + 12]
            patch[:] = colours[video][:, None, None]
    glances = pixels.mean(2, keepdim=True).expand(-1, -1, 3, -1, -1)
    return {"pixel_values": pixels, "glances": glances, "labels": labels}, corner / 2


def test_it_learns_to_look_where_the_class_is() -> None:
    sizes = {"num_frames": 2, "num_labels": 2, "glance_pixels": SIDE, "glance_features": 16}
    reader = fresh("ada_focus", **sizes).train()
    optimizer = torch.optim.Adam(reader.parameters(), lr=0.003)
    for _ in range(150):
        loss = reader(**corners_tell(16)[0]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    given, corner = corners_tell(64)
    with torch.no_grad():
        output = reader.eval()(**given)
        found, _ = reader._look(given["glances"].flatten(0, 1))
        middles = reader.crops(given["pixel_values"].flatten(0, 1), torch.full_like(found, 0.25))
        in_the_middle = reader._answers(middles).unflatten(0, (64, 2)).mean(1)
    right = (output.logits.argmax(-1) == given["labels"]).double().mean()
    usual = (in_the_middle.argmax(-1) == given["labels"]).double().mean()
    assert right > 0.9 > 0.75 > usual
    assert (found - corner.flatten(0, 1)).abs().mean() < 0.05  # the middle of all is 0.25 away


def test_a_backbone_with_positions_takes_frames_of_other_sizes() -> None:
    backbone = ImageBackbone(dict(SIZES["backbone"]), with_classes=False).eval()
    pixels = torch.randn(2, 3, CROP, CROP)
    with torch.no_grad():
        want = backbone.model(pixels, interpolate_pos_encoding=True).pooler_output
        torch.testing.assert_close(backbone.features(pixels), want)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop_share": 0}, r"crop_share \(0\) must be between"),
        ({"crop_share": 1.5}, r"crop_share \(1.5\) must be between"),
        ({"crop_pixels": 0}, r"crop_pixels \(0\) must be a whole number"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(fields: Any, message: str) -> None:
    with pytest.raises(Exception, match=message):
        AdaFocusConfig(**fields)
