"""Convolutions with their activation inside: the same numbers, or nothing is fused."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from temporal.backbones import fusing
from temporal.backbones.efficientnet_lite import EfficientNetLite0, SamePadConv
from temporal.backbones.folding import fold
from temporal.backbones.fusing import FusedConv, fastest_form, missing
from temporal.backbones.image import ImageBackbone, describe
from temporal.macs import count_macs

from .image_families import FAMILIES, SIDE, family, trained

needs_fusing = pytest.mark.skipif(
    bool(missing(torch.float32)), reason=f"nothing is fused: {missing(torch.float32)}"
)
pytestmark = needs_fusing


def call(model: Any, inputs: Sequence[Tensor]) -> Any:
    return model(*inputs)


def kinds(model: nn.Module) -> list[str]:
    return [module.kind[0] for module in model.modules() if isinstance(module, FusedConv)]


def assert_same(got: Tensor, want: Tensor) -> None:
    torch.testing.assert_close(got, want, atol=1e-4 * want.abs().max().item(), rtol=0)


def test_by_hand() -> None:
    conv, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0)
    values = (
        *((conv.weight, 6.0), (conv.bias, 5.0), (norm.weight, 3.0), (norm.bias, 7.0)),
        *((norm.running_mean, 1.0), (norm.running_var, 4.0)),
    )
    with torch.no_grad():
        for tensor, value in values:
            tensor.fill_(value)
    model = nn.Sequential(conv, norm, nn.ReLU6()).eval()
    form = fastest_form(model, call, [torch.zeros(1, 1, 2, 2)])
    assert form.name == "fused" and form.model is not None and kinds(form.model) == ["hardtanh"]
    x = torch.tensor([[[[-2.0, -1.0], [-1.25, 0.0]]]])
    # (6 x + 5 - 1) / 2 * 3 + 7 = 9 x + 13 is -5, 4, 1.75 and 13, of which 0 to 6 is left.
    assert form.model(x).flatten().tolist() == pytest.approx([0.0, 4.0, 1.75, 6.0], abs=1e-5)


ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "ReLU": (nn.ReLU, "relu"),
    "ReLU6, in place": (lambda: nn.ReLU6(inplace=True), "hardtanh"),
    "ReLU, in place": (lambda: nn.ReLU(inplace=True), "relu"),
    "Hardtanh": (lambda: nn.Hardtanh(-0.2, 0.4), "hardtanh"),
    "SiLU": (nn.SiLU, "swish"),
    "SiLU, in place": (lambda: nn.SiLU(inplace=True), "swish"),
    "Hardswish": (nn.Hardswish, "hardswish"),
    "Hardsigmoid": (nn.Hardsigmoid, "hardsigmoid"),
    "GELU": (nn.GELU, "gelu"),
    "GELU by tanh": (lambda: nn.GELU("tanh"), "gelu"),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.3), "leaky_relu"),
    "LeakyReLU of its own slope": (nn.LeakyReLU, "leaky_relu"),
    "Sigmoid": (nn.Sigmoid, "sigmoid"),
    "Tanh": (nn.Tanh, "tanh"),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@torch.no_grad()
def test_activations(name: str) -> None:
    make, kind = ACTIVATIONS[name]
    torch.manual_seed(0)
    model = trained(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), make()))
    x = 3 * torch.randn(4, 3, 9, 7)
    form = fastest_form(model, call, [x])
    assert form.model is not None and kinds(form.model) == [kind]
    assert_same(form.model(x), model(x))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 1},
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 5, "padding": "same", "dilation": 2},
        {"kernel_size": (3, 5), "padding": (0, 2), "stride": (2, 1)},
        {"kernel_size": 3, "dilation": 2, "padding": 2},
        {"kernel_size": 3, "groups": 8, "bias": False},
        {"kernel_size": 5, "groups": 4, "stride": 2},
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_kinds_of_convolutions(options: dict[str, Any], dtype: torch.dtype) -> None:
    if missing(dtype):
        pytest.skip(missing(dtype))
    torch.manual_seed(0)
    model = trained(nn.Sequential(nn.Conv2d(8, 16, **options), nn.BatchNorm2d(16), nn.ReLU()))
    model = model.to(dtype)
    x = torch.randn(3, 8, 11, 14).to(dtype)
    form = fastest_form(model, call, [x])
    assert form.model is not None and kinds(form.model) == ["relu"]
    tolerance = 1e-4 if dtype == torch.float32 else 0.05
    for side in (x, x[:1, :, :9], x.contiguous(memory_format=torch.channels_last)):
        want = model(side)
        atol = tolerance * want.abs().max().item()
        torch.testing.assert_close(form.model(side), want, atol=atol, rtol=0)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("groups", [1, 8])
@torch.no_grad()
def test_uneven_margins(kernel: int, groups: int) -> None:
    """Sizes of which one, both or none has a pixel more on the right or below."""
    torch.manual_seed(0)
    conv = SamePadConv(8, 8, kernel, 2, groups=groups)
    model = trained(nn.Sequential(conv, nn.BatchNorm2d(8), nn.ReLU6()))
    form = fastest_form(model, call, [torch.randn(1, 8, 6, 6)])
    assert form.model is not None and kinds(form.model) == ["hardtanh"]
    for height, width in itertools.product((6, 7, 9, 12), repeat=2):
        x = torch.randn(2, 8, height, width)
        (want, macs), (got, fused_macs) = (count_macs(made, x) for made in (model, form.model))
        assert_same(got, want)
        grown = groups > 1 and height % 2 == width % 2 == 0  # a row and a column of zeros more
        assert fused_macs * kernel**2 == macs * (kernel + grown) ** 2


class _Model(nn.Module):
    def __init__(self, forward: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.more, self.act = nn.Conv2d(4, 4, 1), nn.ReLU()
        self.inplace, self.drop = nn.ReLU(inplace=True), nn.Dropout()
        self.circular = nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")
        self.line = nn.Conv1d(4, 4, 1)
        self.forward_of = forward

    def forward(self, x: Tensor) -> Any:
        return self.forward_of(self, x)


# What is left in the fused form, or None where nothing is fused.
CASES: dict[str, tuple[Callable[[Any, Tensor], Any], list[str] | None]] = {
    "norm and activation": (lambda m, x: m.act(m.norm(m.conv(x))), ["relu"]),
    "the activation is shared": (
        lambda m, x: m.act(m.more(m.act(m.norm(m.conv(x))))),
        ["relu", "relu"],
    ),
    "shared with what is no convolution": (
        lambda m, x: m.act(m.norm(m.conv(x))) + m.act(x),
        None,
    ),
    "shared with a convolution of another kind": (
        lambda m, x: m.act(m.line(m.act(m.norm(m.conv(x))).flatten(2))),
        None,
    ),
    "in place, the result is used twice": (
        lambda m, x: m.inplace(y := m.norm(m.conv(x))) + y,
        ["relu"],
    ),
    "in place behind a dropout": (lambda m, x: m.inplace(m.drop(m.norm(m.conv(x)))), ["relu"]),
    "the value before is used": (lambda m, x: m.act(y := m.norm(m.conv(x))) + y, None),
    "the value before is shown": (lambda m, x: (y := m.norm(m.conv(x)), m.act(y)), None),
    "changed before": (lambda m, x: m.act(m.norm(m.conv(x)).neg_()), None),
    "a function, no module": (lambda m, x: F.relu(m.norm(m.conv(x))), None),
    "no norm": (lambda m, x: m.act(m.conv(x)), ["relu"]),
    "another runs as it is": (lambda m, x: m.more(m.act(m.conv(x))), ["relu"]),
    "the layer runs twice": (lambda m, x: m.act(m.conv(m.act(m.conv(x)))), None),
    "the weight is used elsewhere": (lambda m, x: m.act(m.conv(x)) + m.conv.weight.sum(), None),
    "padded by itself": (lambda m, x: m.act(m.circular(x)), None),
    "its sizes are asked for": (
        lambda m, x: m.act(m.conv(x * m.conv.kernel_size[0] * m.conv.stride[0])),
        ["relu"],
    ),
}


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_what_is_fused(name: str) -> None:
    forward, want = CASES[name]
    torch.manual_seed(0)
    model = trained(_Model(forward))
    x = torch.randn(3, 4, 8, 8)
    form = fastest_form(model, call, [x])
    if want is None:
        assert form.name in ("folded", "as it is") and form.why
    else:
        assert form.name == "fused" and form.model is not None and kinds(form.model) == want
    for got, right in zip((form.model or model)(x), model(x), strict=True):
        assert_same(got, right)


def test_sums_of_the_default_backbone() -> None:
    """Padding differs by the image's size; the MACs are the model's, and those of rows of zeros."""
    torch.manual_seed(0)
    model = trained(EfficientNetLite0())
    uneven: list[int] = []

    def count_zeros(conv: SamePadConv, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        left, right, above, below = conv.margins(*inputs[0].shape[-2:])
        if conv.groups > 1 and (right, below) == (left + 1, above + 1):
            uneven.append(output.numel() * (2 * conv.kernel_size[0] + 1))

    watched = copy.deepcopy(model)
    for module in watched.modules():
        if isinstance(module, SamePadConv):
            module.register_forward_hook(count_zeros)
    backbone = ImageBackbone(describe(model), with_classes=True, model=model).eval()
    with torch.inference_mode():
        for side in (32, 33, 47, 64):
            x = torch.randn(5, 3, side, side + 3)
            uneven.clear()
            want, macs = count_macs(watched, x)
            zeros = sum(uneven)
            got, fused_macs = count_macs(backbone.features, x)
            assert_same(got, want)
            assert fused_macs == macs + zeros
    form = backbone.for_inference.form
    assert form is not None and form.name == "fused" and form.model is not None
    # The stem, 16 blocks of three (the first of two), and the head; projections have none.
    assert sorted(kinds(form.model)) == ["hardtanh"] * 33 + ["none"] * 16
    assert not any(type(module) is SamePadConv for module in form.model.modules())


FUSED = {"ResNet", "RegNet", "MobileNetV1", "MobileNetV2", "EfficientNet", "Levit", "MobileViT"}
FUSED |= {"PoolFormer", "FocalNet"}


def check_family(name: str, batches: Sequence[int], sides: Sequence[int]) -> None:
    model = family(name)
    backbone = ImageBackbone(describe(model), with_classes=True, model=model).eval()
    before = torch.get_num_threads()
    try:
        for side, batch in itertools.product(sides, batches):
            x = torch.randn(batch, 3, side, side)
            torch.set_num_threads(1)
            with torch.inference_mode():
                want, alone = backbone.features_of(model, [x]), backbone.features(x)
                torch.set_num_threads(2)
                together = backbone.features(x)
            assert_same(alone, want)
            assert_same(together, want)
    finally:
        torch.set_num_threads(before)
    form = backbone.for_inference.form
    assert form is not None and (form.name == "fused") == (name in FUSED)


@pytest.mark.parametrize("name", sorted(FUSED))
def test_families_at_threads(name: str) -> None:
    check_family(name, (5,), (SIDE,))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_families_at_all_batches(name: str) -> None:
    sides = (SIDE,) if name == "Levit" else (SIDE, SIDE + 1, 96)  # Levit takes one size
    check_family(name, range(1, 17), sides)


@torch.inference_mode()
def test_what_is_no_number_stays_so() -> None:
    """A fused ReLU would make 0 of it. Rows beside are as ever."""
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    form = ImageBackbone(describe(EfficientNetLite0()), with_classes=True).for_inference
    x = torch.randn(5, 3, 8, 8)
    want = form.run(call, model, [x])
    assert form.form is not None and form.form.name == "fused"
    for bad in (float("nan"), float("inf")):
        y = x.clone()
        y[3, 0, 4, 4] = bad
        got = form.run(call, model, [y])
        assert torch.equal(got[3].isfinite(), model(y[3:4])[0].isfinite())
        assert not got[3].isfinite().all()
        assert torch.equal(got[[0, 1, 2, 4]], want[[0, 1, 2, 4]])


def _without_operation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fusing, "missing", lambda dtype: "this torch has no fused convolutions")


def _wrong(patch: pytest.MonkeyPatch) -> None:
    right = FusedConv.forward
    patch.setattr(FusedConv, "forward", lambda self, x: right(self, x) * 1.01)


def _failing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FusedConv, "forward", lambda self, x: x.fail())


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (_without_operation, "no fused convolutions"),
        (_wrong, "does not say"),
        (_failing, "does not say"),
    ],
)
@torch.no_grad()
def test_where_it_is_not_right_the_folded_form_serves(how: Any, why: str) -> None:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    x = torch.randn(2, 3, 8, 8)
    with pytest.MonkeyPatch.context() as patch:
        how(patch)
        form = fastest_form(model, call, [x])
    assert form.name == "folded" and form.model is not None and why in form.why
    folded = fold(model, call, [x])
    assert folded is not None and torch.equal(form.model(x), folded(x))


@torch.no_grad()
def test_norms_after_other_convolutions_are_folded() -> None:
    model = trained(nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU()))
    x = torch.randn(2, 3, 9)
    form = fastest_form(model, call, [x])
    assert form.name == "folded" and form.model is not None
    assert_same(form.model(x), model(x))


def test_what_fusing_lacks() -> None:
    assert missing(torch.float32) == ""
    assert "float64" in missing(torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        assert "oneDNN" in missing(torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "SVE256")
        assert "processor" in missing(torch.float32)


@torch.no_grad()
def test_autocast_runs_the_model_as_it_is() -> None:
    model = trained(EfficientNetLite0())
    backbone = ImageBackbone(describe(model), with_classes=True, model=model).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        assert backbone.features(x).dtype == model(x).dtype
    assert backbone.for_inference.form is None


@torch.no_grad()
def test_the_folded_weights_are_held_once() -> None:
    model = trained(nn.Sequential(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64), nn.ReLU()))
    form = fastest_form(model, call, [torch.randn(1, 64, 8, 8)])
    assert form.model is not None
    weight: Any = form.model[0].weight
    assert weight.shape == (64, 64, 3, 3) and weight.untyped_storage().nbytes() == 4
