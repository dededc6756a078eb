"""StructuralJumpLSTM: skips, jumps to boundaries, its cost, and the gradient of both agents."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from temporal.models import StructuralJumpLSTM, StructuralJumpLSTMConfig
from temporal.models.recurrent.configuration import POOLINGS
from temporal.models.recurrent.punctuation import after_next, token_ids

COMMA, POINT = 90, 91
SIZES = {
    "vocab_size": 100,
    "embedding_size": 12,
    "hidden_size": 16,
    "agent_size": 5,
    "clause_token_ids": [COMMA],
    "sentence_token_ids": [POINT],
}
READ, SKIP = 0, 1
WORD, CLAUSE, SENTENCE, END = range(4)
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])
WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "lockstep"])


def make(
    *, kernels: bool = True, skips: int = READ, jumps: int = WORD, **config: Any
) -> StructuralJumpLSTM:
    """A reader whose agents always take these actions."""
    reader = StructuralJumpLSTM(StructuralJumpLSTMConfig(**{**SIZES, **config})).eval()
    reader.uses_kernels = kernels
    with torch.no_grad():
        reader.embedding.weight.mul_(10)
        reader.skip_policy.bias.zero_()
        reader.skip_policy.bias[skips] = 100.0
        reader.jump_policy.bias.zero_()
        reader.jump_policy.bias[jumps] = 100.0
    return reader


#                      0  1      2  3      4  5      6  7  8
TEXT = torch.tensor([3, 4, COMMA, 5, POINT, 6, COMMA, 7, 8])


@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_at_threshold_0_it_is_the_plain_network(
    pooling, cell, kernels, random_words, plain_logits
) -> None:
    reader = make(
        kernels=kernels, skips=SKIP, jumps=END, pooling=pooling, cell=cell, read_threshold=0.0
    )
    for document in random_words((1, 9, 30)):
        outcome = reader(document)
        want = plain_logits(reader, document.ids)
        torch.testing.assert_close(outcome.value, want, atol=1e-5, rtol=0)
        assert outcome.trace.share_read == 1 and not outcome.trace.halted


@WAYS
@pytest.mark.parametrize(
    ("skips", "jumps", "read", "skimmed", "halted_at"),
    [
        (READ, WORD, [0, 1, 2, 3, 4, 5, 6, 7, 8], [], None),
        (READ, CLAUSE, [0, 3, 5, 7], [], 7),  # the end of a sentence ends its clause
        (READ, SENTENCE, [0, 5], [], 5),
        (READ, END, [0], [], 0),
        (SKIP, WORD, [0], [1, 2, 3, 4, 5, 6, 7, 8], None),
        (SKIP, SENTENCE, [0], [5, 6, 7, 8], None),  # only a read word may jump
    ],
)
def test_where_skips_and_jumps_lead(skips, jumps, read, skimmed, halted_at, kernels, words) -> None:
    trace = make(kernels=kernels, skips=skips, jumps=jumps)(words(TEXT)).trace
    assert list(trace.read) == read and list(trace.skimmed) == skimmed
    assert trace.halted_at == halted_at


def test_the_next_boundary_lies_after_the_word_itself() -> None:
    ends = torch.tensor([[False, False, True, False, True]] * 2)
    assert after_next(ends, torch.tensor([5, 4])).tolist() == [[3, 3, 5, 5, 5], [3, 3, 4, 4, 4]]


def test_the_answer_is_the_plain_networks_on_the_words_that_were_read(
    random_words, plain_logits
) -> None:
    reader = make(pooling="mean")
    with torch.no_grad():
        reader.skip_policy.bias.zero_()
        reader.jump_policy.bias.copy_(torch.tensor([1.0, 0.0, 0.0, -9.0]))
        reader.skip_policy.weight.mul_(3)
    read = 0
    for document in random_words([60] * 6):
        outcome = reader(document)
        read += outcome.trace.units_read
        want = plain_logits(reader, document.ids[list(outcome.trace.read)])
        torch.testing.assert_close(outcome.value, want, atol=1e-5, rtol=0)
    assert 60 < read < 300


@WAYS
@CELLS
def test_the_cost_is_the_hand_count_of_what_ran(cell, kernels, words) -> None:
    gates, H, D, P = {"lstm": 4, "gru": 3}[cell], 16, 12, 5
    # A kernel looks up what the token adds to the gates and to the features.
    token = gates * H * (H if kernels else H + D) + (H + 4) * P
    look = P if kernels else (D + 2) * P
    cost = make(cell=cell, kernels=kernels, jumps=CLAUSE)(words(TEXT)).trace.cost
    assert cost.macs == 4 * token + 3 * (H * P + look) + 2 * H
    cost = make(cell=cell, kernels=kernels, skips=SKIP)(words(TEXT)).trace.cost
    assert cost.macs == token + H * P + 8 * look + 2 * H  # one state, so one share of its


def test_a_lower_threshold_reads_more(random_words, read_all) -> None:
    reader = make()
    with torch.no_grad():
        reader.skip_policy.bias.zero_()
        reader.jump_policy.bias.zero_()
    documents = random_words([30] * 8)
    read = []
    for threshold in (0.0, 0.01, 0.3, 0.5, 1.0):
        reader.set_policy("read", threshold)
        read.append(sum(o.trace.units_read for o in read_all(reader, [documents])))
    assert read[0] == 240 and read[-1] == 8  # the first words
    assert read == sorted(read, reverse=True) and len(set(read)) > 3


def test_punctuation_comes_from_the_tokenizer() -> None:
    vocabulary = {",": 4, ";": 5, ".": 6, "!": 7, "?": 8}
    tokenizer = SimpleNamespace(
        convert_tokens_to_ids=lambda tokens: [vocabulary.get(token, 1) for token in tokens],
        unk_token_id=1,
    )
    assert token_ids(tokenizer, ",;:") == [4, 5]
    config = StructuralJumpLSTMConfig(vocab_size=9)
    config.set_punctuation(tokenizer)
    assert (config.clause_token_ids, config.sentence_token_ids) == ([4, 5], [6, 7, 8])


def forced(monkeypatch: Any, way: list[int]) -> list[torch.Tensor]:
    """Make training take these actions, one after another; collects the log of their shares."""
    log_ps: list[torch.Tensor] = []

    def take(logits: torch.Tensor) -> tuple[Any, Any]:
        action = torch.tensor([way[len(log_ps)]])
        log_ps.append(logits.log_softmax(-1).gather(1, action[:, None]).squeeze(1))
        return action, log_ps[-1]

    monkeypatch.setattr("temporal.models.recurrent.walks.sample", take)
    return log_ps


def test_the_policy_gradient_is_that_of_the_expected_reward_less_the_cost(monkeypatch) -> None:
    """Over all ways through three words, each as often as it is taken: the exact gradient."""
    reader = make(reading_cost=0.6, skip_cost=0.25, policy_weight=1.0, entropy_weight=0.0)
    reader.double().train()
    with torch.no_grad():
        reader.skip_policy.bias.zero_()
        reader.jump_policy.bias.zero_()
        reader.classifier.weight.mul_(30)
    ids, label = torch.tensor([[5, 60, 7]]), torch.tensor([1])
    # A read word, then the jump after it. Every jump but the first goes to the end.
    tails = [[SKIP]] + [[READ, jump] for jump in range(4)]
    over = [[jump] for jump in (CLAUSE, SENTENCE, END)]
    middle = [[WORD, *second, *last] for second in ([SKIP], [READ, WORD]) for last in tails] + [
        [WORD, READ, jump] for jump in (CLAUSE, SENTENCE, END)
    ]
    weights = [reader.skip_policy.weight, reader.jump_policy.weight]
    expected, total = 0.0, 0.0
    estimate = [torch.zeros_like(weight) for weight in weights]
    for way in over + middle:
        log_ps = forced(monkeypatch, way)
        output = reader(ids, labels=label)
        assert len(log_ps) == len(way)
        read, skipped = read_and_skipped(way)
        likely = output.logits.softmax(-1)[0, 1].item()
        reward = 1.0 if output.logits.argmax() == 1 else likely
        probability = torch.stack(log_ps).sum().exp()
        total += probability.item()
        expected = expected + probability * (reward - 0.6 / 3 * (read + 0.25 * skipped))
        gradients = torch.autograd.grad(output.loss, weights, retain_graph=True, allow_unused=True)
        for sum_so_far, gradient in zip(estimate, gradients, strict=True):
            if gradient is not None:
                sum_so_far += probability.item() * gradient
    assert total == pytest.approx(1.0)  # these are all the ways
    exact = torch.autograd.grad(-expected, weights)
    for got, want in zip(estimate, exact, strict=True):
        torch.testing.assert_close(got, want)


def read_and_skipped(way: list[int]) -> tuple[int, int]:
    """How many words a way reads and skips."""
    read, skipped, actions = 1, 0, iter(way[1:])
    for action in actions:
        if action == SKIP:
            skipped += 1
        else:
            read += 1
            next(actions)  # the jump
    return read, skipped


def test_training_skips_what_says_nothing() -> None:
    """One word in five tells the label; words cost, so the others are passed over."""
    torch.manual_seed(3)
    reader = StructuralJumpLSTM(
        StructuralJumpLSTMConfig(**{**SIZES, "pooling": "max", "reading_cost": 0.5})
    ).train()
    optimizer = torch.optim.Adam(reader.parameters(), 0.01)
    for _ in range(150):
        labels = torch.randint(0, 2, (64,))
        ids = torch.randint(10, 90, (64, 10))
        ids[torch.arange(64), torch.randint(0, 10, (64,))] = 3 + labels
        optimizer.zero_grad()
        reader(ids, labels=labels).loss.backward()
        optimizer.step()
    output = reader.eval()(ids)
    assert (output.logits.argmax(-1) == labels).float().mean() > 0.95
    assert output.read_share.mean() < 0.5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"agent_size": 0}, r"agent_size \(0\) must be between 1"),
        ({"read_threshold": 1.5}, r"read_threshold \(1.5\) must be between 0"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(config, message) -> None:
    with pytest.raises(Exception, match=message):
        StructuralJumpLSTMConfig(**config)
