"""Folding batch norms: the same numbers by fewer operations, and nothing else changes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from temporal.backbones.efficientnet_lite import EfficientNetLite0
from temporal.backbones.folding import fold
from temporal.backbones.image import ImageBackbone, describe
from temporal.macs import count_macs

from .image_families import FAMILIES, SIDE, family, norms_of, trained


def call(model: Any, inputs: Sequence[Tensor]) -> Any:
    return model(*inputs)


def one(layers: Callable[[], dict[str, nn.Module]], forward: Callable[[Any, Tensor], Any]) -> Any:
    """A model of a few layers and a forward."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, layer in layers().items():
                setattr(self, name, layer)

        def forward(self, x: Tensor) -> Any:
            return forward(self, x)

    torch.manual_seed(0)
    return trained(Model())


def pair(**options: Any) -> dict[str, nn.Module]:
    return {"conv": nn.Conv2d(3, 3, 3, padding=1, **options), "norm": nn.BatchNorm2d(3)}


def test_by_hand() -> None:
    conv, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0)
    values = (
        *((conv.weight, 6.0), (conv.bias, 5.0), (norm.weight, 3.0), (norm.bias, 7.0)),
        *((norm.running_mean, 1.0), (norm.running_var, 4.0)),
    )
    with torch.no_grad():
        for tensor, value in values:
            tensor.fill_(value)
    folded = fold(nn.Sequential(conv, norm).eval(), call, [torch.zeros(1, 1, 2, 2)])
    assert folded is not None
    # (6 x + 5 - 1) / 2 * 3 + 7 = 9 x + 13
    assert (folded[0].weight.item(), folded[0].bias.item()) == (9.0, 13.0)
    assert isinstance(folded[1], nn.Identity)
    assert (conv.weight.item(), conv.bias.item()) == (6.0, 5.0)


def standardised(self: Any, x: Tensor) -> Tensor:
    weight = self.conv.weight / self.conv.weight.std()
    return self.norm(F.conv2d(x, weight, self.conv.bias, padding=1))


REFUSED = {
    "the result is used twice": (pair, lambda m, x: m.norm(y := m.conv(x)) + y),
    "the result is shown": (pair, lambda m, x: (y := m.conv(x), m.norm(y))),
    "something lies between": (pair, lambda m, x: m.norm(m.conv(x).relu())),
    "changed in place": (pair, lambda m, x: m.norm(m.conv(x).relu_())),
    "a view is used": (pair, lambda m, x: m.norm(y := m.conv(x)) + y[:, :1]),
    "the layer runs twice": (pair, lambda m, x: m.norm(m.conv(m.conv(x)))),
    "the norm runs twice": (pair, lambda m, x: m.norm(m.norm(m.conv(x)))),
    "the norm comes first": (pair, lambda m, x: m.conv(m.norm(x))),
    "the weight is computed": (pair, standardised),
    "the weight is used elsewhere": (
        pair,
        lambda m, x: m.norm(m.conv(x)) + m.conv.weight.sum(),
    ),
    "no statistics": (
        lambda: pair() | {"norm": nn.BatchNorm2d(3, track_running_stats=False)},
        lambda m, x: m.norm(m.conv(x)),
    ),
    "parametrized": (
        lambda: pair() | {"conv": nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 1))},
        lambda m, x: m.norm(m.conv(x)),
    ),
    "no convolution": (
        lambda: {"linear": nn.Linear(SIDE, 4), "norm": nn.BatchNorm1d(3)},
        lambda m, x: m.norm(m.linear(x)[:, :, 0]),
    ),
    "it fails": (pair, lambda m, x: m.norm(m.conv(x)) @ torch.zeros(3, 1, 2)),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_not_provably_consecutive_is_left(why: str) -> None:
    model = one(*REFUSED[why])
    assert fold(model, call, [torch.zeros(2, 3, SIDE, SIDE)]) is None


def test_a_module_in_two_places_is_left() -> None:
    conv, norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
    model = trained(nn.ModuleDict({"a": nn.Sequential(conv, norm), "b": conv}))
    assert fold(model, lambda m, inputs: m["a"](*inputs), [torch.zeros(1, 3, 8, 8)]) is None


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"groups": 3}, {"dilation": 2}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_kinds_of_convolutions(options: dict[str, Any], dtype: torch.dtype) -> None:
    model = one(lambda: pair(**options), lambda m, x: m.norm(m.conv(x))).to(dtype)
    x = torch.randn(2, 3, 9, 9).to(dtype)
    folded = fold(model, call, [x])
    assert folded is not None and norms_of(folded) == 0
    tolerance = 0.05 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(folded(x), model(x), atol=tolerance, rtol=tolerance)


_NO_NORM = {"ViT", "ConvNext", "ConvNextV2", "Swin", "PoolFormer", "Dinov2", "Bit"}
_NO_NORM |= {"FocalNet", "PvtV2"}


@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_transformers(name: str) -> None:
    model = family(name)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    backbone = ImageBackbone(describe(model), with_classes=True, model=model).eval()
    x = torch.randn(3, 3, SIDE, SIDE)
    want = model(pixel_values=x).logits.detach()
    with torch.inference_mode():
        got, macs = count_macs(backbone.features, x)
        again, plain_macs = count_macs(backbone.features, x)
    torch.testing.assert_close(got, want, atol=1e-4 * want.abs().max().item(), rtol=0)
    assert torch.equal(got, again) and macs == plain_macs == count_macs(model, x)[1]
    form = backbone.for_inference.form
    assert form is not None
    if name in _NO_NORM:
        assert form.model is None or form.name == "fused"
    else:
        assert form.model is not None and norms_of(form.model) < norms_of(model)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.fixture
def backbone() -> ImageBackbone:
    torch.manual_seed(0)
    model = trained(EfficientNetLite0())
    return ImageBackbone(describe(model), with_classes=True, model=model).eval()


def test_the_default_backbone_has_no_norm_left(backbone: ImageBackbone) -> None:
    for side in (64, 65, 32):  # padded alike at all sides, and not
        x = torch.randn(9, 3, side, side)
        want = backbone.model(x).detach()
        with torch.inference_mode():
            got = backbone.features(x)
        torch.testing.assert_close(got, want, atol=1e-4 * want.abs().max().item(), rtol=0)
    form = backbone.for_inference.form
    assert form is not None and form.model is not None and norms_of(form.model) == 0
    assert norms_of(backbone.model) == 49


def test_training_saving_and_copies_see_the_model_as_it_is(backbone: ImageBackbone) -> None:
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = backbone.features(x)
    names = list(EfficientNetLite0().state_dict())
    assert [name.removeprefix("model.") for name in backbone.state_dict()] == names
    assert backbone.features(x).requires_grad  # with gradients
    backbone.train()
    with torch.no_grad():
        backbone.features(x)
    assert int(backbone.model.stem[1].num_batches_tracked) == 1  # statistics were gathered
    backbone.eval()
    for twin in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        assert twin.for_inference._made is None
        with torch.no_grad():
            assert not torch.equal(backbone.features(x), before)
            assert torch.equal(twin.features(x), backbone.features(x))


CHANGES: dict[str, Callable[[Any], Any]] = {
    "counted by torch": lambda model: model.head[0].weight.mul_(3),
    "not counted": lambda model: model.head[0].weight.data.mul_(3),
    "a statistic": lambda model: model.head[1].running_var.data.mul_(4),
    "another tensor": lambda model: setattr(
        model.head[0], "weight", nn.Parameter(torch.randn(1280, 320, 1, 1))
    ),
    "another module": lambda model: setattr(model.head, "2", nn.SiLU()),
    "another type": lambda model: model.double(),
}


@pytest.mark.parametrize("change", CHANGES)
@torch.no_grad()
def test_a_change_of_the_weights_is_seen(backbone: ImageBackbone, change: str) -> None:
    x = torch.randn(2, 3, 32, 32)
    before = backbone.features(x)
    CHANGES[change](backbone.model)
    x = x.to(backbone.model.classifier.weight.dtype)
    want = backbone.model(x)
    torch.testing.assert_close(
        backbone.features(x), want, atol=1e-4 * want.abs().max().item(), rtol=0
    )
    assert change == "another type" or not torch.allclose(want, before, rtol=1e-3)


@torch.no_grad()
def test_hooks_in_the_model_are_called(backbone: ImageBackbone) -> None:
    x = torch.randn(2, 3, 32, 32)
    backbone.features(x)
    seen: list[Any] = []
    hook = backbone.model.blocks[2].register_forward_hook(lambda *args: seen.append(args[2]))
    backbone.features(x)
    hook.remove()
    backbone.features(x)
    assert len(seen) == 1


@torch.no_grad()
def test_what_is_folded_does_not_depend_on_the_first_input() -> None:
    model = trained(EfficientNetLite0())
    x = torch.randn(2, 3, 32, 32)
    results = []
    for first in (x, torch.full_like(x, float("nan")), torch.zeros_like(x)):
        backbone = ImageBackbone(describe(model), with_classes=True, model=model).eval()
        backbone.features(first)
        results.append(backbone.features(x))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


@torch.no_grad()
def test_broken_weights_are_run_as_they_are() -> None:
    model = trained(EfficientNetLite0())
    model.stem[0].weight[0, 0, 0, 0] = float("nan")
    backbone = ImageBackbone(describe(model), with_classes=True, model=model).eval()
    assert backbone.features(torch.zeros(1, 3, 32, 32)).isnan().any()


@torch.inference_mode()
def test_a_batch_in_pieces_is_the_batch(backbone: ImageBackbone) -> None:
    """Every image is run once, in its place, and counted once."""
    x = torch.randn(150, 3, 32, 32)
    expected = torch.cat([backbone.features(x[k : k + 1]) for k in range(0, 150, 50)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("temporal.backbones.inference._PIECE_PIXELS", 32 * 32 * 7)
        got, macs = count_macs(backbone.features, x)
    torch.testing.assert_close(got[::50], expected, atol=1e-5, rtol=1e-4)
    assert len(got) == 150 and macs == 150 * count_macs(backbone.features, x[:1])[1]
