"""LSTMJump: blocks and jumps, its limits, its cost, and the gradient of its policy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from temporal.models import LSTMJump, LSTMJumpConfig
from temporal.models.recurrent.configuration import POOLINGS

SIZES = {"vocab_size": 100, "embedding_size": 12, "hidden_size": 16}
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])
WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "lockstep"])


def make(*, kernels: bool = True, always: int | None = None, **config: Any) -> LSTMJump:
    """A reader; `always` makes it take one action, whatever it read."""
    reader = LSTMJump(LSTMJumpConfig(**{**SIZES, **config})).eval()
    reader.uses_kernels = kernels
    with torch.no_grad():
        reader.embedding.weight.mul_(10)
        if always is not None:
            reader.policy.bias[always] = 100.0
    return reader


@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_one_block_for_the_whole_text_is_the_plain_network(
    pooling, cell, kernels, random_words, plain_logits
) -> None:
    reader = make(pooling=pooling, cell=cell, kernels=kernels, tokens_between_jumps=4096)
    for document in random_words((1, 9, 30)):
        outcome = reader(document)
        want = plain_logits(reader, document.ids)
        torch.testing.assert_close(outcome.value, want, atol=1e-5, rtol=0)
        assert outcome.trace.share_read == 1 and not outcome.trace.halted


@WAYS
@pytest.mark.parametrize(
    ("jump", "max_jumps", "read", "halted_at"),
    [
        # 12 tokens, blocks of 3: the jump counts from a block's last token.
        (1, 9, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], None),
        (4, 9, [0, 1, 2, 6, 7, 8], 8),  # the next block would begin at 12
        (3, 9, [0, 1, 2, 5, 6, 7, 10, 11], None),  # the text ends a block
        (1, 1, [0, 1, 2, 3, 4, 5], 5),
        (5, 0, [0, 1, 2], 2),
        (0, 9, [0, 1, 2], 2),
    ],
)
def test_where_blocks_lie_and_what_ends_the_reading(
    jump, max_jumps, read, halted_at, kernels, words
) -> None:
    reader = make(
        kernels=kernels, always=jump, max_jump=5, max_jumps=max_jumps, tokens_between_jumps=3
    )
    trace = reader(words(torch.arange(3, 15))).trace
    assert list(trace.read) == read and not trace.skimmed
    assert trace.halted_at == halted_at


def test_the_answer_is_the_plain_networks_on_the_tokens_that_were_read(
    random_words, plain_logits
) -> None:
    reader = make(tokens_between_jumps=2, max_jump=5, max_jumps=6, pooling="mean")
    for document in random_words((30, 17, 5)):
        outcome = reader(document)
        assert 0 < outcome.trace.units_read < len(document)
        want = plain_logits(reader, document.ids[list(outcome.trace.read)])
        torch.testing.assert_close(outcome.value, want, atol=1e-5, rtol=0)


@WAYS
@CELLS
def test_the_cost_is_the_hand_count_of_what_ran(cell, kernels, words) -> None:
    reader = make(
        cell=cell, kernels=kernels, always=3, max_jump=5, max_jumps=9, tokens_between_jumps=3
    )
    gates, H, D = {"lstm": 4, "gru": 3}[cell], 16, 12
    # 8 tokens are read, after 2 jumps (to 5 and to 10); a kernel looks the input's share up.
    token = gates * H * (H if kernels else H + D)
    assert reader(words(torch.arange(3, 15))).trace.cost.macs == 8 * token + 2 * H * 6 + 2 * H
    assert reader.dense_macs(12) == 12 * token + 2 * H


def test_reading_less_may_be_asked_for_after_training(random_words) -> None:
    reader = make(always=2, max_jump=5, max_jumps=9, tokens_between_jumps=3)
    (document,) = random_words([30])
    reader.set_policy("max_jumps", 2)
    assert reader(document).trace.units_read == 9
    reader.set_policy("tokens_between_jumps", 1)
    assert reader(document).trace.units_read == 3


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("read", 0.5, r"policy \('read'\) must be one of"),
        ("max_jumps", None, "needs a whole number"),
        ("max_jumps", 2.5, "needs a whole number"),
        ("tokens_between_jumps", 0, r"tokens_between_jumps \(0\) must be between 1"),
    ],
)
def test_a_wrong_policy_is_refused(name, value, message) -> None:
    with pytest.raises(ValueError, match=message):
        make().set_policy(name, value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pooling": "sum"}, r"pooling \('sum'\) must be one of"),
        ({"tokens_between_jumps": 0}, r"tokens_between_jumps \(0\) must be between 1"),
        ({"max_jump": 0}, r"max_jump \(0\) must be between 1"),
        ({"max_jumps": -1}, r"max_jumps \(-1\) must be between 0"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(config, message) -> None:
    with pytest.raises(Exception, match=message):
        LSTMJumpConfig(**config)


def test_the_loss_is_cross_entropy_policy_gradient_baseline_and_entropy(monkeypatch) -> None:
    reader = make(tokens_between_jumps=2, max_jump=1, max_jumps=1, policy_weight=0.3).train()
    reader.config.entropy_weight = 0.2
    monkeypatch.setattr(
        "temporal.models.recurrent.walks.sample",
        lambda logits: (torch.ones(len(logits), dtype=torch.long), logits.log_softmax(-1)[:, 1]),
    )
    ids, labels = torch.randint(3, 100, (4, 4)), torch.tensor([0, 1, 0, 1])
    output = reader(ids, labels=labels)
    h = reader.eval().walk(ids[:, :2], torch.tensor([2, 2, 2, 2])).pooled_BH  # the last states
    log_p = reader.policy(h).log_softmax(-1)
    reward = torch.where(output.logits.argmax(-1) == labels, 1.0, -1.0)
    baseline = reader.baseline(h).squeeze(1)
    want = (
        F.cross_entropy(output.logits, labels)
        - 0.3 * (log_p[:, 1] * (reward - baseline)).mean()
        + ((baseline - reward) ** 2).mean()
        + 0.2 * (log_p.exp() * log_p).sum(-1).mean()
    )
    torch.testing.assert_close(output.loss, want)


def test_the_policy_gradient_is_that_of_the_expected_reward(monkeypatch) -> None:
    """Over all ways through a text, each as often as it is taken, it is the exact gradient."""
    reader = make(tokens_between_jumps=1, max_jump=1, max_jumps=3).double().train()
    with torch.no_grad():
        reader.classifier.weight.mul_(20)
    ids, label = torch.tensor([[5, 60, 7, 31, 44, 9]]), torch.tensor([1])
    stop, on = 0, 1
    ways = [[stop], [on, stop], [on, on, stop], [on, on, on]]
    expected, estimate, rewards = 0.0, torch.zeros_like(reader.policy.weight), []
    for way in ways:
        log_ps: list[torch.Tensor] = []

        def forced(logits: torch.Tensor, way=way, log_ps=log_ps) -> tuple[Any, Any]:
            action = torch.tensor([way[len(log_ps)]])
            log_ps.append(logits.log_softmax(-1).gather(1, action[:, None]).squeeze(1))
            return action, log_ps[-1]

        monkeypatch.setattr("temporal.models.recurrent.walks.sample", forced)
        output = reader(ids, labels=label)
        reward = 1.0 if output.logits.argmax() == 1 else -1.0
        rewards.append(reward)
        probability = torch.stack(log_ps).sum().exp()
        expected = expected + probability * reward
        (gradient,) = torch.autograd.grad(output.loss, reader.policy.weight, retain_graph=True)
        estimate += probability.detach() * gradient
    assert len(set(rewards)) == 2  # the ways must differ in what they are worth
    (exact,) = torch.autograd.grad(-expected, reader.policy.weight)
    torch.testing.assert_close(estimate, exact)


def test_training_finds_the_jump_that_pays() -> None:
    """The label is the token four after the first; what lies between says nothing."""
    torch.manual_seed(1)
    reader = make(tokens_between_jumps=1, max_jump=4, max_jumps=1, entropy_weight=0.01).train()
    optimizer = torch.optim.Adam(reader.parameters(), 0.01)
    for _ in range(150):
        labels = torch.randint(0, 2, (64,))
        ids = torch.randint(10, 100, (64, 6))
        ids[:, 0], ids[:, 4] = 3, 4 + labels
        optimizer.zero_grad()
        reader(ids, labels=labels).loss.backward()
        optimizer.step()
    output = reader.eval()(ids)
    assert (output.logits.argmax(-1) == labels).all()
    assert output.read_share.tolist() == pytest.approx([2 / 6] * 64)


def test_the_actions_sampled_in_training_follow_the_softmax() -> None:
    reader = make(tokens_between_jumps=1, max_jump=2, max_jumps=1).train()
    with torch.no_grad():
        reader.policy.weight.zero_()
        reader.policy.bias.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
    marks = reader.walk(torch.full((5000, 4), 7), torch.full((5000,), 4)).marks_BT
    shares = [(marks > 0)[:, k].float().mean().item() for k in range(4)]
    assert shares == pytest.approx([1.0, 0.3, 0.2, 0.0], abs=0.02)
