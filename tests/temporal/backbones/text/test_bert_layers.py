"""Layers computed without their modules: to the same bits, and not where somebody watches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from temporal.backbones.text import Family, PackedTokens, PaddedTokens, family_of, own_attention

from ...models.encoder_families import make_classifier

PLAIN = ("bert", "roberta", "electra")
IN_ATTENTION = (
    "attention",
    "attention.self",
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output",
    "attention.output.dense",
    "attention.output.dropout",
    "attention.output.LayerNorm",
)
IN_FEED = (
    "intermediate",
    "intermediate.dense",
    "output",
    "output.dense",
    "output.dropout",
    "output.LayerNorm",
)


def through(name: str, layer: Any, model: Any, hidden: Tensor, tokens: Any) -> Tensor:
    """What a part of a layer computes from hidden states."""
    family: Family = family_of(model)
    assert family.attend is not None and family.feed is not None
    if name in IN_ATTENTION:
        return family.attend(model, layer, hidden, tokens)
    return family.feed(layer, hidden)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the classes of modules that were called."""
    made: list[str] = []
    call = nn.Module.__call__

    def noted(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        made.append(type(module).__name__)
        return call(module, *args, **kwargs)

    monkeypatch.setattr(nn.Module, "__call__", noted)
    return made


@pytest.mark.parametrize("family", PLAIN)
@pytest.mark.parametrize("packed", [True, False])
@torch.inference_mode()
def test_a_layer_without_its_modules_gives_the_same_bits(
    family: str, packed: bool, calls: list[str]
) -> None:
    model = make_classifier(family)
    own_attention(model)
    (layer, *_) = family_of(model).layers(model)
    lengths = [7, 7, 3]
    tokens: Any = PackedTokens(lengths, torch.device("cpu"))
    hidden = torch.randn(1, sum(lengths), 32)
    if not packed:
        hidden, tokens = tokens.pad(hidden), tokens.padded()
    fast = [through(name, layer, model, hidden, tokens) for name in ("attention", "output")]
    assert calls == ["GELUActivation"]
    layer.apply(lambda module: module.register_forward_hook(lambda *_: None))
    slow = [through(name, layer, model, hidden, tokens) for name in ("attention", "output")]
    assert calls.count("Linear") == 6
    assert all(torch.equal(a, b) for a, b in zip(fast, slow, strict=True))


@pytest.mark.parametrize("family", PLAIN)
@pytest.mark.parametrize("name", [*IN_ATTENTION, *IN_FEED])
@torch.inference_mode()
def test_whatever_is_attached_to_a_module_takes_part(
    family: str, name: str, calls: list[str]
) -> None:
    model = make_classifier(family)
    (layer, *_) = family_of(model).layers(model)
    tokens = PaddedTokens(torch.ones(2, 5))
    hidden = torch.randn(2, 5, 32)
    module = layer.get_submodule(name)
    seen: list[str] = []
    hook = module.register_forward_hook(lambda *_: seen.append("after"))
    through(name, layer, model, hidden, tokens)
    hook.remove()
    hook = module.register_forward_pre_hook(lambda *_: seen.append("before"))
    through(name, layer, model, hidden, tokens)
    hook.remove()
    assert seen == ["after", "before"]
    forward = module.forward
    module.forward = lambda *args, **kwargs: (seen.append("instead"), forward(*args, **kwargs))[1]
    through(name, layer, model, hidden, tokens)
    assert seen == ["after", "before", "instead"]
    del module.forward
    calls.clear()
    through(name, layer, model, hidden, tokens)
    assert calls == ([] if name in IN_ATTENTION else ["GELUActivation"])


class Adapter(nn.Linear):
    """A linear layer that computes more than one."""

    def forward(self, values: Tensor) -> Tensor:
        return super().forward(values) * 2


@pytest.mark.parametrize("name", ["attention.self.query", "attention.output.dense", "output.dense"])
@torch.inference_mode()
def test_a_layer_of_another_class_computes_itself(name: str) -> None:
    model = make_classifier("bert")
    (layer, *_) = family_of(model).layers(model)
    hidden, tokens = torch.randn(2, 5, 32), PaddedTokens(torch.ones(2, 5))
    before = through(name, layer, model, hidden, tokens)
    old = layer.get_submodule(name)
    adapter = Adapter(old.in_features, old.out_features)
    adapter.load_state_dict(old.state_dict())
    layer.set_submodule(name, adapter)
    assert not torch.allclose(through(name, layer, model, hidden, tokens), before)


@pytest.mark.parametrize("name", ["attention.self", "output"])
@torch.inference_mode()
def test_a_part_of_another_class_computes_itself(name: str) -> None:
    model = make_classifier("bert")
    (layer, *_) = family_of(model).layers(model)
    hidden, tokens = torch.randn(2, 5, 32), PaddedTokens(torch.ones(2, 5))
    before = through(name.partition(".")[0], layer, model, hidden, tokens)
    part = layer.get_submodule(name)
    kind = type(part)

    class Adapted(kind):  # type: ignore[misc, valid-type]  # of transformers, whichever it is
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = super().forward(*args, **kwargs)
            return (output[0] * 2, None) if isinstance(output, tuple) else output * 2

    part.__class__ = Adapted
    after = through(name.partition(".")[0], layer, model, hidden, tokens)
    assert not torch.allclose(after, before)


def test_dropout_is_left_to_the_modules(calls: list[str]) -> None:
    model = make_classifier("bert", hidden_dropout_prob=0.5).train()
    (layer, *_) = family_of(model).layers(model)
    hidden, tokens = torch.randn(2, 5, 32), PaddedTokens(torch.ones(2, 5))
    for name in ("attention", "output"):
        outputs = [through(name, layer, model, hidden, tokens) for _ in range(2)]
        assert not torch.allclose(*outputs)
    assert "Dropout" in calls


@pytest.mark.parametrize("family", ["bert", "electra", "albert"])
@torch.inference_mode()
def test_an_embedding_without_its_modules_gives_the_same_bits(
    family: str, calls: list[str]
) -> None:
    model = make_classifier(family)
    embeddings = model.base_model.embeddings
    tokens = PackedTokens([4, 9, 1], torch.device("cpu"))
    ids = torch.randint(1, 100, (1, 14))
    fast = family_of(model).embed(model, ids, tokens, None)
    assert "Embedding" not in calls
    assert torch.equal(family_of(model).embed(model, ids, tokens, torch.zeros_like(ids)), fast)
    assert not torch.allclose(
        family_of(model).embed(model, ids, tokens, torch.ones_like(ids)), fast
    )
    assert calls.count("Embedding") == 2 * 3
    for name in (
        "",
        "word_embeddings",
        "token_type_embeddings",
        "position_embeddings",
        "LayerNorm",
    ):
        calls.clear()
        hook = embeddings.get_submodule(name).register_forward_hook(lambda *_: None)
        assert torch.equal(family_of(model).embed(model, ids, tokens, None), fast)
        hook.remove()
        assert calls.count("Embedding") == 3


@pytest.mark.parametrize("attached", [(), ("bert.pooler",), ("dropout",), ("classifier",)])
@torch.inference_mode()
def test_the_answer_is_the_classifiers_own_and_its_modules_can_be_watched(
    attached: tuple[str, ...],
) -> None:
    model = make_classifier("bert")
    family = family_of(model)
    hidden = torch.randn(3, 5, 32)
    head = {name: model.get_submodule(name) for name in family.head}
    seen: list[str] = []
    for name in attached:
        head[name].register_forward_hook(lambda *_, name=name: seen.append(name))
    answer = family.answer(head, hidden, PaddedTokens(torch.ones(3, 5)))
    assert seen == list(attached)
    expected = model.classifier(model.bert.pooler(hidden))
    assert torch.equal(answer, expected)
