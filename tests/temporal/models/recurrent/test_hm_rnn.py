"""HMRNN: boundaries, and what the upper layers compute there."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from temporal.models import HMRNN, HMRNNConfig
from temporal.policies.estimators import hard_sigmoid

D, H = 12, 16
SIZES = {"vocab_size": 100, "embedding_size": D, "hidden_size": H}
LAYERS = pytest.mark.parametrize("num_layers", [2, 3])


@torch.no_grad()
def make(num_layers: int = 2, *, kernels: bool = True, **config) -> HMRNN:
    """A reader that detects some boundaries untrained."""
    reader = HMRNN(HMRNNConfig(**{**SIZES, "num_layers": num_layers, **config})).eval()
    reader.uses_kernels = kernels
    reader.embedding.weight.mul_(10)
    for layer in reader.policy:
        layer.weight.mul_(3)
    return reader


@torch.no_grad()
def written_out(reader: HMRNN, ids: Tensor) -> tuple[Tensor, list[list[str]], list[Tensor]]:
    """Equations 1 to 7 for one document.

    Returns:
        Logits, the operation of each layer at each token, with "!" where it ends in a boundary, and
        all states, the layers side by side.
    """
    L = reader.config.num_layers
    h, c, z = [torch.zeros(H)] * L, [torch.zeros(H)] * L, [0] * L
    operations, states = [], []
    hidden = [reader.read_hidden, *reader.hidden]
    for x in reader.embedding(ids):
        below, z_below, done = x, 1, []
        for k in range(L):
            operation = "FLUSH" if z[k] else "UPDATE" if z_below else "COPY"
            if operation == "COPY":
                done.append(operation)
                below, z_below = h[k], 0
                continue
            s = hidden[k].weight @ h[k]
            layer_below = reader.below[k - 1] if k else reader.read_input
            s = s + layer_below.bias + z_below * (layer_below.weight @ below)
            if k + 1 < L:
                above = z[k] * h[k + 1]
                s = s + reader.above[k].weight @ above
                logit = reader.policy[k](torch.cat([z_below * below, h[k], above]))
            i, f, g, o = s.chunk(4)
            keep = f.sigmoid() * c[k] if operation == "UPDATE" else 0
            c[k] = keep + i.sigmoid() * g.tanh()
            h[k] = o.sigmoid() * c[k].tanh()
            z[k] = int(k + 1 < L and max(0, min(1, (logit + 1) / 2)) > 0.5)
            done.append(operation + "!" * z[k])
            below, z_below = h[k], z[k]
        operations.append(done)
        states.append(torch.cat(h))
    return reader.classifier(states[-1]), operations, states


@LAYERS
@pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "dense"])
def test_every_layer_does_what_the_equations_say(kernels, num_layers, random_words) -> None:
    reader = make(num_layers, kernels=kernels)
    (doc,) = random_words([40])
    want, operations, _ = written_out(reader, doc.ids)
    assert {done[1].strip("!") for done in operations} >= {"UPDATE", "COPY"}
    assert {done[0].strip("!") for done in operations} == {"UPDATE", "FLUSH"}
    outcome = reader(doc)
    torch.testing.assert_close(outcome.value, want, atol=1e-5, rtol=0)
    upper = [t for t, done in enumerate(operations) if set(done[1:]) != {"COPY"}]
    assert outcome.trace.read == tuple(upper)
    assert sorted(outcome.trace.read + outcome.trace.skimmed) == list(range(40))


@LAYERS
@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_the_classifier_sees_all_layers(pooling, num_layers, random_words) -> None:
    reader = make(num_layers, pooling=pooling)
    (doc,) = random_words([30])
    states = torch.stack(written_out(reader, doc.ids)[2])
    want = reader.classifier(states.amax(0) if pooling == "max" else states.mean(0))
    torch.testing.assert_close(reader(doc).value, want, atol=1e-5, rtol=0)


@LAYERS
def test_the_kernels_cost_is_the_hand_count_of_what_ran(num_layers, random_words) -> None:
    reader = make(num_layers)
    (doc,) = random_words([40])
    macs = num_layers * H * 2  # the answer's
    for done in written_out(reader, doc.ids)[1]:
        for k, operation in enumerate(done):
            asked = k > 0 and done[k - 1].endswith("!")
            # Of its own state, of the layer below (at the bottom it is looked up), of that above.
            products = (operation != "COPY") + asked + (operation[:5] == "FLUSH")
            macs += products * H * (4 * H + (k + 1 < num_layers))  # the top has no boundary
    assert reader(doc).trace.cost.macs == macs < reader.dense_macs(40)


def test_without_kernels_every_layer_is_computed_and_the_cost_says_so(random_words) -> None:
    reader = make(3, kernels=False)
    products = 4 * H * (D + H) + 4 * H * 2 * H * 2  # as in a plain LSTM of three layers
    from_above = 2 * 4 * H * H
    boundaries = (D + 2 * H) + 3 * H
    answer = 3 * H * 2
    macs = reader(random_words([20])[0]).trace.cost.macs
    assert macs == 20 * (products + from_above + boundaries) + answer
    assert reader.dense_macs(20) == 20 * products + answer


@LAYERS
@pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "dense"])
def test_without_boundaries_it_is_a_plain_lstm_below_and_nothing_above(
    kernels, num_layers, random_words, run_plain
) -> None:
    reader = make(num_layers, kernels=kernels)
    reader.set_policy("read", 1.0)
    (doc,) = random_words([20])
    with torch.no_grad():
        layers = reader.read_input, reader.read_hidden
        h = run_plain("lstm", reader.embedding(doc.ids), *layers)[-1]
        want = reader.classifier(torch.cat([h, torch.zeros(H * (num_layers - 1))]))
    outcome = reader(doc)
    torch.testing.assert_close(outcome.value, want, atol=1e-5, rtol=0)
    assert outcome.trace.read == ()
    if not kernels:
        return
    with torch.no_grad():  # weights of the upper layers are not touched
        for name, parameter in reader.named_parameters():
            if name.startswith(("below", "hidden", "above")):
                parameter.fill_(math.nan)
    assert torch.equal(reader(doc).value, outcome.value)


def test_the_slope_is_annealed_in_training(monkeypatch) -> None:
    seen = []

    def sigmoid(x: Tensor, slope: float) -> Tensor:
        seen.append(slope)
        return hard_sigmoid(x, slope)

    monkeypatch.setattr("temporal.models.recurrent.hm_rnn.hard_sigmoid", sigmoid)
    reader = make(slope_rate=0.01).train()
    for step in (0, 100, 10_000):
        reader.training_step = step
        reader(torch.tensor([[5]]))
    assert seen == pytest.approx([1.0, 2.0, 5.0])


def test_loss_is_cross_entropy_plus_lambda_for_each_update_above(random_words) -> None:
    reader = make(3, update_loss_weight=0.01)
    (doc,) = random_words([40])
    above = [operation for done in written_out(reader, doc.ids)[1] for operation in done[1:]]
    num_updates = sum(operation != "COPY" for operation in above)
    assert 0 < num_updates < len(above)
    label = torch.tensor([1])
    output = reader.train()(doc.ids[None], labels=label)
    want = F.cross_entropy(output.logits, label) + 0.01 * num_updates
    torch.testing.assert_close(output.loss, want)


def test_only_an_lstm_of_two_or_three_layers_is_described() -> None:
    with pytest.raises(Exception, match=r"cell \('gru'\) must be one of \['lstm'\]"):
        HMRNNConfig(**SIZES, cell="gru")
    with pytest.raises(Exception, match=r"num_layers \(4\) must be one of \[2, 3\]"):
        HMRNNConfig(**SIZES, num_layers=4)
