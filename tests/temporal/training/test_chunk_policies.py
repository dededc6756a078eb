"""What one pass over all chunks tells is what reading under each policy does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from temporal.models.operating_points import apply_point
from temporal.training.chunk_evidence import ChunkedTexts, ChunkEvidence, first_certain
from temporal.training.chunk_policies import chunk_grid

from ..models.chunk_readers import CHUNKS, LENGTHS, dense, evidence_of, make

READERS: dict[str, dict[str, Any]] = {
    "mean": {"order": "end_first"},
    "recurrent after a skim": {"pooling": "recurrent", "skim_buckets": 50, "order": "skim"},
}


@pytest.mark.parametrize("config", READERS.values(), ids=READERS)
def test_the_grid_says_what_reading_under_each_policy_does(config, random_words, read_all) -> None:
    reader = make(**config)
    documents = random_words(LENGTHS)
    evidence = evidence_of(reader, documents)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    grid = chunk_grid(reader, evidence, labels, cost_unit="macs", count=8)
    kinds = 3 if reader.skim is not None else 2
    assert len(grid.policies) == 9**kinds
    everything = {"criterion": "confidence", "depth_thresholds": None}
    assert everything.items() <= grid.policies[0].items()
    assert len(grid.costs_PN.mean(1).unique()) >= 8
    for k in torch.randperm(len(grid.policies))[:12].tolist():
        apply_point(reader.config, {"policy": grid.policies[k]})
        outcomes = read_all(reader, [documents[:2], documents[2:]])
        costs = [outcome.trace.token_layers for outcome in outcomes]
        assert grid.costs_PN[k].tolist() == costs
        wrong = [int(o.value.argmax()) != y for o, y in zip(outcomes, labels.tolist(), strict=True)]
        assert grid.losses_PN[k].tolist() == wrong


def test_without_labels_the_full_reading_stands_in_for_them(random_words) -> None:
    reader = make(pooling="attention")
    documents = random_words(LENGTHS * 3)
    evidence = evidence_of(reader, documents)
    full = dense(reader, documents).logits.argmax(1)
    grid = chunk_grid(reader, evidence, None, cost_unit="macs", count=8)
    given = chunk_grid(reader, evidence, full, cost_unit="macs", count=8)
    assert torch.equal(grid.losses_PN, given.losses_PN) and not grid.losses_PN[0].any()
    other = chunk_grid(reader, evidence, (full + 1) % 3, cost_unit="macs", count=8)
    assert other.losses_PN[0].all()
    assert (grid.costs_PN <= grid.costs_PN[0]).all()


def test_evidence_is_kept_as_it_was(tmp_path: Path, random_words) -> None:
    for config in READERS.values():
        reader = make(**config)
        evidence = evidence_of(reader, random_words(LENGTHS))
        evidence.save(tmp_path / "evidence.safetensors")
        loaded = ChunkEvidence.load(tmp_path / "evidence.safetensors")
        assert loaded.chunks() == evidence.chunks()
        before, after = evidence.batch([4, 0]), loaded.batch([4, 0])
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_batch_holds_its_documents_chunks_and_zeros(random_words) -> None:
    reader = make(skim_buckets=10)
    evidence = evidence_of(reader, random_words(LENGTHS))
    assert evidence.counts_N.tolist() == list(CHUNKS)
    batch = evidence.batch([3, 5])
    assert batch["chunk_mask"].tolist() == [[True, True], [True, False]]
    first = sum(CHUNKS[:3])
    assert torch.equal(batch["chunk_logits"][0], evidence.logits_MEK[first : first + 2])
    assert torch.equal(batch["skim_logits"][1], evidence.skim_logits_NK[5])
    assert not batch["chunk_states"][1, 1].any()
    # What chunks add, and the bias, make the skim's answer.
    total = batch["skim_scores"].sum(1) + reader.skim.bias
    torch.testing.assert_close(total, batch["skim_logits"], atol=1e-5, rtol=0)


def test_the_first_certain_exit_answers_for_a_chunk() -> None:
    certainties = torch.tensor([[[0.9, 0.2], [0.1, 0.8]], [[0.1, 0.2], [0.5, 0.9]]])
    assert first_certain(certainties, [0.5, 0.5]).tolist() == [[0, 1], [2, 0]]
    assert first_certain(certainties, None).tolist() == [[2, 2], [2, 2]]
    assert first_certain(certainties[..., :0], []).tolist() == [[0, 0], [0, 0]]


def test_training_draws_depth_policies_and_evaluation_reads_all_layers(random_words) -> None:
    evidence = evidence_of(make(), random_words(LENGTHS))
    texts = ChunkedTexts(evidence, torch.arange(6), draws=True)
    drawn = [texts.__getitems__([4, 0]) for _ in range(30)]
    depths = {
        exit for batch in drawn for exit in batch.get("exits", torch.tensor([2])).flatten().tolist()
    }
    assert depths == {0, 1, 2}
    assert any("exits" not in batch for batch in drawn)  # to full depth
    assert drawn[0]["labels"].tolist() == [4, 0]
    assert "exits" not in ChunkedTexts(evidence, torch.arange(6), draws=False)[2]
    with pytest.raises(ValueError, match=r"evidence \(6\) and labels \(5\) must match"):
        ChunkedTexts(evidence, torch.arange(5), draws=True)
