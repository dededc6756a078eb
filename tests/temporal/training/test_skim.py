"""A bag of tokens learns which tokens and pairs tell, and is not asked about what it has seen."""

from __future__ import annotations

import torch

from temporal.models.chunks.bag_of_tokens import BagOfTokens
from temporal.packed import Packed
from temporal.training.skim import cross_fitted, fit_skim

OPTIONS = {"num_epochs": 30, "batch_size": 8}


def said(skim: BagOfTokens, texts: list[torch.Tensor]) -> list[int]:
    return skim(Packed.of(texts))[0].argmax(1).tolist()


def test_it_learns_telling_tokens_and_pairs() -> None:
    fillers = torch.randint(10, 40, (80, 8))
    labels = torch.arange(80) % 2
    single = [
        torch.cat([row, torch.tensor([5 + k])])
        for row, k in zip(fillers, labels.tolist(), strict=True)
    ]
    skim = fit_skim(BagOfTokens(40, 0, 2), single, labels, **OPTIONS)
    assert said(skim, single) == labels.tolist()
    assert not any(parameter.requires_grad for parameter in skim.parameters())
    # 5 6 or 6 5: only the pair tells, and a bag without pairs cannot know.
    pairs = [
        torch.cat([row, torch.tensor([5, 6] if k else [6, 5])])
        for row, k in zip(fillers, labels.tolist(), strict=True)
    ]
    with_pairs = fit_skim(BagOfTokens(40, 1000, 2), pairs, labels, **OPTIONS)
    assert said(with_pairs, pairs) == labels.tolist()
    order = [torch.cat([torch.arange(10, 18), torch.tensor(end)]) for end in ([5, 6], [6, 5])]
    assert said(with_pairs, order) == [1, 0]
    alone = fit_skim(BagOfTokens(40, 0, 2), pairs, labels, **OPTIONS)(Packed.of(order))[0]
    torch.testing.assert_close(alone[0], alone[1])


def test_regression_comes_close_to_its_numbers() -> None:
    texts = [torch.randint(10, 40, (8,)) for _ in range(60)]
    numbers = torch.tensor([float((text < 25).sum()) for text in texts])
    skim = fit_skim(BagOfTokens(40, 0, 1), texts, numbers, num_epochs=200, batch_size=20)
    guesses = skim(Packed.of(texts))[0].squeeze(1)
    assert torch.corrcoef(torch.stack([guesses, numbers]))[0, 1] > 0.8


def test_cross_fitting_asks_only_about_unseen_texts() -> None:
    # Each text has a token of its own, by which a bag that saw the text knows its (random) label.
    labels = torch.randint(2, (40,))
    texts = [torch.tensor([100 + k, 7, 8]) for k in range(40)]
    chunks = [[range(2), range(2, 3)]] * 40
    seen = fit_skim(BagOfTokens(140, 0, 2), texts, labels, **OPTIONS)
    assert said(seen, texts) == labels.tolist()
    unseen = cross_fitted(BagOfTokens(140, 0, 2), texts, labels, chunks, num_folds=4)
    answers = torch.stack([logits for logits, _ in unseen])
    # Of an unseen text a bag knows what all texts share, and nothing else.
    folds = {tuple(round(value, 4) for value in row) for row in answers.tolist()}
    assert len(folds) <= 4
    assert all(sums.shape == (2, 2) for _, sums in unseen)


def test_scores_by_hand() -> None:
    skim = BagOfTokens(10, 0, 2)
    with torch.no_grad():
        skim.scores.weight.copy_(torch.arange(20.0).view(10, 2))
        skim.bias.copy_(torch.tensor([0.5, -0.5]))
    # 3 occurs twice and counts once: 3 and 4 are the text's entries, over the root of two.
    logits, scores = skim(Packed.of([torch.tensor([3, 4, 3]), torch.tensor([1])]))
    root = 2**0.5
    want = torch.tensor([[14 / root + 0.5, 16 / root - 0.5], [2.5, 2.5]])
    torch.testing.assert_close(logits, want)
    first, second = scores.sequences()
    torch.testing.assert_close(first, torch.tensor([[6, 7], [8, 9], [0, 0]]) / root)
    torch.testing.assert_close(second, torch.tensor([[2.0, 3.0]]))
    torch.testing.assert_close(skim.logits([torch.tensor([4, 3]), torch.tensor([1])]), want)


def test_pairs_do_not_cross_from_one_text_to_the_next() -> None:
    skim = BagOfTokens(10, 1_000, 2)
    with torch.no_grad():
        skim.scores.weight.normal_()
    texts = [torch.tensor([1, 2, 3]), torch.tensor([4]), torch.tensor([3, 1, 2])]
    together, scores = skim(Packed.of(texts))
    for k, text in enumerate(texts):
        alone, alone_scores = skim(Packed.of([text]))
        torch.testing.assert_close(together[k], alone[0])
        torch.testing.assert_close(scores.sequences()[k], alone_scores.values)
        assert len(skim.entries(Packed.of([text]))[0]) == 2 * len(text) - 1
