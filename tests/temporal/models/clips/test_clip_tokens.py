"""`ClipReader` with fewer tokens: read, traced, saved, and tried by a calibration."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    VideoMAEImageProcessor,
    VideoPrismForVideoClassification,
    VideoPrismVisionConfig,
)

from temporal.models import ClipReader

LAYERS, PATCHES = 2, 8
NOTHING = {"run_length": {"token_threshold": None}, "merge": {"keep_share": 1.0}}
LITTLE = {"run_length": {"token_threshold": 0.68}, "merge": {"keep_share": 0.4}}


@torch.no_grad()
def clip_reader(processor=None, **config) -> ClipReader:
    torch.manual_seed(5)
    classifier = VideoMAEForVideoClassification(
        VideoMAEConfig(
            image_size=32,
            patch_size=16,
            num_frames=4,
            hidden_size=16,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            intermediate_size=16,
            num_labels=3,
        )
    )
    for parameter in classifier.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return ClipReader(classifier, processor, **{"num_clips": 3, "sampling_rate": 2, **config})


@pytest.mark.parametrize("processed", [False, True])
@pytest.mark.parametrize("reduction", NOTHING)
def test_with_all_tokens_it_reads_as_the_classifier_does(
    frames, read_all, reduction, processed
) -> None:
    processor = VideoMAEImageProcessor(size={"shortest_edge": 32}, crop_size=32)
    processor = processor if processed else None
    plain = clip_reader(processor)
    reader = clip_reader(processor, token_reduction=reduction, **NOTHING[reduction])
    for want, got in zip(
        read_all(plain, [frames(40), frames(21)]),
        read_all(reader, [frames(40), frames(21)]),
        strict=True,
    ):
        torch.testing.assert_close(got.value, want.value, atol=1e-5, rtol=0)
        assert got.trace.token_layers == 3 * LAYERS * PATCHES
        assert got.trace.cost.macs == want.trace.cost.macs == plain.dense_macs(40)
        assert reader.dense_macs(40) == plain.dense_macs(40)


@pytest.mark.parametrize("reduction", LITTLE)
def test_fewer_tokens_are_computed_and_any_batch_says_the_same(frames, read_all, reduction) -> None:
    reader = clip_reader(token_reduction=reduction, **LITTLE[reduction])
    videos = [40, 21, 5, 9]
    outcomes = read_all(reader, [frames(count) for count in videos])
    for count, outcome in zip(videos, outcomes, strict=True):
        alone = reader(frames(count))
        torch.testing.assert_close(outcome.value, alone.value, atol=1e-5, rtol=0)
        assert outcome.trace.token_layers == alone.trace.token_layers
        assert outcome.trace.cost.macs == alone.trace.cost.macs <= reader.dense_macs(count)
    assert any(x.trace.token_layers < 3 * LAYERS * PATCHES for x in outcomes)
    centres = [clip for _, clip in reader.clips(40)]
    pixels = torch.stack([frames(40).read(clip, size=(32, 32)) for clip in centres])
    with torch.no_grad():
        said = reader(pixel_values=pixels[None]).logits[0]
    torch.testing.assert_close(outcomes[0].value, said, atol=1e-5, rtol=0)


def test_it_halts_over_clips_with_fewer_tokens(frames) -> None:
    reader = clip_reader(token_reduction="merge")
    reader.set_policy("confidence", 0.0)
    trace = reader(frames(40)).trace
    assert trace.halted_at == 20
    assert trace.token_layers == LAYERS * PATCHES - 2  # the second layer has two tokens less


def test_it_is_saved_and_loaded(frames, tmp_path) -> None:
    reader = clip_reader(token_reduction="run_length", token_threshold=None)
    reader.save_pretrained(tmp_path)
    again = ClipReader.from_pretrained(tmp_path)
    assert (again.config.token_reduction, again.config.token_threshold) == ("run_length", None)
    assert torch.equal(again(frames(40)).value, reader(frames(40)).value)


@pytest.mark.parametrize(("num_clips", "count"), [(3, 19), (3, 1), (3, 3), (None, 19), (None, 1)])
@pytest.mark.parametrize("reduction", LITTLE)
def test_each_policy_reads_no_more_than_the_one_before(frames, reduction, num_clips, count) -> None:
    reader = clip_reader(token_reduction=reduction, num_clips=num_clips)
    assert reader.answers([frames(40)]) is None
    policies = reader.policy_space().policies(num_points=count + 1)
    assert len(policies) == count + 1 or num_clips is None
    spent = []
    for policy in policies:
        for field, value in policy.items():
            setattr(reader.config, field, value)
        spent.append(reader(frames(40)).trace.cost.macs)
    assert spent == sorted(spent, reverse=True)
    assert spent[0] == reader.dense_macs(40) and (reduction == "run_length" or spent[1] < spent[0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"token_reduction": "hope"}, r"token_reduction \('hope'\) must be one of"),
        ({"token_threshold": -1}, r"token_threshold \(-1\) must be between 0"),
        ({"keep_share": 2}, r"keep_share \(2\) must be between 0"),
    ],
)
def test_a_wrong_option_is_refused(fields, message) -> None:
    with pytest.raises(ValueError, match=message):
        clip_reader(**fields)


@pytest.mark.parametrize("reduction", [None, *NOTHING])
def test_videoprism_is_read_in_clips_with_and_without_packed_tokens(frames, reduction) -> None:
    torch.manual_seed(5)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    layers = {"num_spatial_layers": 2, "num_temporal_layers": 1}
    shape = {"image_size": 32, "tubelet_size": (1, 16, 16), "num_frames": 4, "num_labels": 3}
    config = VideoPrismVisionConfig(**sizes, **layers, **shape)
    model = VideoPrismForVideoClassification(config).eval()
    reader = ClipReader(model, num_clips=2, token_reduction=reduction, **NOTHING.get(reduction, {}))
    outcome = reader(frames(40))
    pixels = torch.stack([frames(40).read(clip, size=(32, 32)) for _, clip in reader.clips(40)])
    with torch.no_grad():
        logits = model((pixels.float() - 127.5) / 127.5).logits[:, 0]  # [B, 1, K]
    want = logits.softmax(-1).mean(0)
    torch.testing.assert_close(outcome.value.exp(), want, atol=1e-5, rtol=0)
