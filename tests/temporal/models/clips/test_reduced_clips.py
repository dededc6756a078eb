"""Video classifiers on packed tokens: equal to transformers with all, and less work with fewer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import (
    TimesformerConfig,
    TimesformerForVideoClassification,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    VideoPrismForVideoClassification,
    VideoPrismVisionConfig,
    ViTConfig,
    VivitConfig,
    VivitForVideoClassification,
    VJEPA2Config,
    VJEPA2ForVideoClassification,
)

from temporal.backbones.video import family_of
from temporal.macs import count_macs
from temporal.models.clips.reduced_clips import ReducedClips

LAYERS = 3
_SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 40,
    "num_labels": 5,
}
_MAE = VideoMAEConfig, VideoMAEForVideoClassification
_VIVIT = VivitConfig, VivitForVideoClassification
_TIME = TimesformerConfig, TimesformerForVideoClassification
_JEPA = VJEPA2Config, VJEPA2ForVideoClassification
_PRISM = VideoPrismVisionConfig, VideoPrismForVideoClassification
_PRISM_LAYERS = {"num_spatial_layers": 2, "num_temporal_layers": 1}
_POOLER = {
    "num_pooler_layers": 1,
    "pred_hidden_size": 8,
    "pred_num_attention_heads": 1,
    "pred_num_hidden_layers": 1,
}
MODELS = {
    "videomae": (*_MAE, {"image_size": 32, "patch_size": 16, "num_frames": 4}),
    "videomae odd": (
        *_MAE,
        {
            "image_size": 35,
            "patch_size": 8,
            "num_frames": 7,
            "tubelet_size": 3,
            "use_mean_pooling": False,
            "qkv_bias": False,
        },
    ),
    "vivit": (*_VIVIT, {"image_size": 32, "num_frames": 4, "tubelet_size": [2, 16, 16]}),
    "vivit odd": (*_VIVIT, {"image_size": 43, "num_frames": 7, "tubelet_size": [3, 8, 8]}),
    "timesformer": (*_TIME, {"image_size": 32, "patch_size": 16, "num_frames": 4}),
    "timesformer odd": (*_TIME, {"image_size": 40, "patch_size": 8, "num_frames": 3}),
    "vjepa2": (*_JEPA, {"crop_size": 32, "patch_size": 16, "frames_per_clip": 4, **_POOLER}),
    "vjepa2 odd": (
        *_JEPA,
        {"crop_size": 43, "patch_size": 8, "frames_per_clip": 7, "tubelet_size": 3, **_POOLER},
    ),
    "videoprism": (
        *_PRISM,
        {"image_size": 32, "tubelet_size": (1, 16, 16), "num_frames": 4, **_PRISM_LAYERS},
    ),
    "videoprism odd": (
        *_PRISM,
        {
            "image_size": 43,
            "tubelet_size": (1, 8, 8),
            "num_frames": 3,
            "attn_logit_softcapping": 0.5,
            **_PRISM_LAYERS,
        },
    ),
    "timesformer joint": (
        *_TIME,
        {
            "image_size": 32,
            "patch_size": 8,
            "num_frames": 3,
            "attention_type": "joint_space_time",
        },
    ),
}


@torch.no_grad()
def classifier(name: str, **changes):
    torch.manual_seed(3)
    config_class, model_class, fields = MODELS[name]
    model = model_class(config_class(**_SIZES, **fields, **changes)).eval()
    for parameter in model.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def clips(config) -> Tensor:
    """A clip that changes everywhere, one that stands still, and one that does so at the top."""
    side = getattr(config, "image_size", None) or config.crop_size
    frames = getattr(config, "num_frames", None) or config.frames_per_clip
    pixels = torch.randn(3, frames, 3, side, side)
    pixels[1] = pixels[1, :1]
    half = side // 2
    pixels[2, 1:, :, :half] = pixels[2, :1, :, :half]
    return pixels


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_with_all_tokens_it_is_the_model(name) -> None:
    model = classifier(name)
    pixels = clips(model.config)
    want, macs = count_macs(lambda: model(pixels).logits.view(3, -1))  # VideoPrism: [B, 1, K]
    reduced = ReducedClips(model)
    logits, token_layers, macs_B = reduced(pixels)
    torch.testing.assert_close(logits, want, atol=1e-5, rtol=0)
    assert macs_B.tolist() == [macs // 3] * 3 == [reduced.dense_macs] * 3
    assert len(set(token_layers.tolist())) == 1


@pytest.mark.parametrize("knob", [{"threshold": 0.1}, {"keep_share": 0.4}])
@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_clips_of_different_tokens_are_packed(name, knob) -> None:
    model = classifier(name)
    pixels = clips(model.config)
    reduced = ReducedClips(model)
    reduced(pixels[:1])  # finds out what its parts cost
    (logits, token_layers, macs_B), ran = count_macs(lambda: reduced(pixels, **knob))
    alone = [torch.cat(column) for column in zip(*(reduced(x[None], **knob) for x in pixels))]  # noqa: B905
    torch.testing.assert_close(logits, alone[0], atol=1e-5, rtol=0)
    assert token_layers.tolist() == alone[1].tolist()
    assert macs_B.tolist() == alone[2].tolist()
    assert (
        int(macs_B.sum()) == ran and (logits - model(pixels).logits.view(3, -1)).abs().max() > 1e-3
    )
    if "threshold" in knob:
        whole, still, half = token_layers.tolist()
        assert still < half < whole == reduced(pixels)[1][0]


@torch.inference_mode()
def test_a_clip_that_stands_still_has_the_patches_of_one_tubelet() -> None:
    model = classifier("vivit odd")  # two tubelets of 5 x 5 patches, and the first token
    still = clips(model.config)[1:2]
    reduced = ReducedClips(model)
    assert reduced(still)[1].tolist() == [LAYERS * (2 * 25 + 1)]
    assert reduced(still, threshold=0.1)[1].tolist() == [LAYERS * (25 + 1)]


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_what_run_length_drops_no_layer_sees(name) -> None:
    """Pixels that only dropped patches have do not matter at all."""
    model = classifier(name)
    pixels = clips(model.config)[1:2]
    changed = pixels + 0.01 * torch.rand_like(pixels)
    tubelet = ReducedClips(model).patch[0]
    changed[:, :tubelet] = pixels[:, :tubelet]
    reduced = ReducedClips(model)
    want, got = (reduced(x, threshold=0.1)[0] for x in (pixels, changed))
    assert torch.equal(want, got)
    assert not torch.equal(reduced(pixels)[0], reduced(changed)[0])


@pytest.mark.parametrize("name", MODELS)
def test_layers_see_the_tokens_that_are_left(name) -> None:
    model = classifier(name)
    seen: list[int] = []
    reduced = ReducedClips(model)
    reduced(clips(model.config))  # finds out what its parts cost
    for layer in family_of(model).layers(model):
        norm = layer.norm2 if name.startswith("vjepa2") else layer.layernorm_after
        norm.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    with torch.inference_mode():
        token_layers = reduced(clips(model.config)[1:2], threshold=0.1)[1]
        assert seen == [token_layers.item() // LAYERS] * LAYERS
        seen.clear()
        reduced(clips(model.config)[:1], keep_share=0.5)
    assert seen == sorted(seen, reverse=True) and seen[0] > seen[-1]


@torch.inference_mode()
def test_tokens_that_are_the_same_are_merged_without_a_trace() -> None:
    """Without positions, the patches of a clip of one colour are one token: merging is exact."""
    model = classifier("videomae")
    model.videomae.embeddings.position_embeddings.zero_()
    pixels = torch.ones(1, 4, 3, 32, 32)
    reduced = ReducedClips(model)
    logits, token_layers, _ = reduced(pixels, keep_share=0.25)
    torch.testing.assert_close(logits, model(pixels).logits, atol=1e-5, rtol=0)
    assert token_layers.item() < LAYERS * 8


@torch.inference_mode()
def test_the_patch_that_answers_is_never_merged_away() -> None:
    model = classifier("videomae odd")  # its answer is the first patch's
    model.classifier = torch.nn.Identity()
    seen = []
    model.videomae.layernorm.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    for layer in family_of(model).layers(model):
        for parameter in layer.parameters():
            parameter.zero_()  # tokens stay what they are
    pixels = clips(model.config)
    reduced = ReducedClips(model)
    reduced(pixels)
    want = seen[-1]
    reduced(pixels, keep_share=0.3)
    torch.testing.assert_close(seen[-1], want, atol=1e-6, rtol=0)


def test_gradients_reach_every_weight() -> None:
    for name in ("videomae", "vivit", "timesformer"):
        model = classifier(name)
        for knob in ({"threshold": 0.1}, {"keep_share": 0.5}):
            model.zero_grad()
            ReducedClips(model)(clips(model.config), **knob)[0].square().sum().backward()
            assert all(parameter.grad is not None for parameter in model.parameters()), name


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model_type is one of .*not 'vit'"):
        family_of(ViTConfig())
    with pytest.raises(ValueError, match=r"attention_type \('space_only'\) must be"):
        ReducedClips(classifier("timesformer", attention_type="space_only"))
    with pytest.raises(ValueError, match=r"threshold \(0.1\) must be None to merge"):
        ReducedClips(classifier("vivit"))(torch.zeros(1), threshold=0.1, keep_share=0.5)
    with pytest.raises(ValueError, match="8 patches: 4 frames of 48 x 32 make 2 x 3 x 2"):
        ReducedClips(classifier("videomae"))(torch.zeros(1, 4, 3, 48, 32))
