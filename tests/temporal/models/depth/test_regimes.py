"""How exits learn: each regime's loss by the papers' formulas, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments

from temporal.models import EarlyExit
from temporal.models.depth.regimes import REGIMES, closeness, distillation_loss
from temporal.training.steps import TrainingStep

from ..encoder_families import FAMILIES, make

LABELS = torch.tensor([0, 2, 1, 1])
LEARNED = ["certainty", "consistency"]


@pytest.fixture
def batch(random_words, padded) -> dict[str, torch.Tensor]:
    ids, mask = padded(random_words((5, 9, 7, 9)))
    return {"input_ids": ids, "attention_mask": mask}


def cross_entropies(output, labels=LABELS) -> list[torch.Tensor]:
    return [F.cross_entropy(logits_BK, labels) for logits_BK in output.exit_logits.unbind(1)]


def gradients(reader: EarlyExit) -> dict[str, torch.Tensor]:
    """Gradients that are not zero, by parameter."""
    found = {name: p.grad for name, p in reader.named_parameters() if p.grad is not None}
    return {name: grad for name, grad in found.items() if grad.any()}


@pytest.mark.parametrize(
    ("regime", "weights"),
    [
        ("joint", [1 / 6, 2 / 6, 3 / 6]),
        ("last_exit", [0, 0, 1]),
        ("two_stage", [1, 1, 0]),
        ("gradient_separated", [1, 1, 1]),
    ],
)
def test_losses_are_the_exits_cross_entropies_in_these_shares(regime, weights, batch) -> None:
    output = make(regime=regime)(**batch, labels=LABELS)
    want = sum(w * loss for w, loss in zip(weights, cross_entropies(output), strict=True))
    torch.testing.assert_close(output.loss, want)


def test_alternating_is_the_last_exit_and_then_all_of_them(batch) -> None:
    reader = make(regime="alternating").train()
    for dropout in (m for m in reader.modules() if isinstance(m, torch.nn.Dropout)):
        dropout.p = 0.0
    losses = []
    for step in range(4):
        reader.training_step = step
        reader.zero_grad()
        output = reader(**batch, labels=LABELS)
        output.loss.backward()
        losses.append(output.loss)
        touched = any(name.startswith("exits.") for name in gradients(reader))
        assert touched == (step % 2 == 1)
    by_exit = cross_entropies(output)
    for step in (0, 2):
        torch.testing.assert_close(losses[step], by_exit[-1])
        torch.testing.assert_close(losses[step + 1], sum(by_exit))
    reader.eval()  # the same at every step
    reader.training_step = 0
    torch.testing.assert_close(reader(**batch, labels=LABELS).loss, sum(by_exit))


def test_an_exit_of_weight_zero_has_no_gradients_that_an_optimizer_would_decay_by(batch) -> None:
    reader = make(regime="alternating").train()
    reader(**batch, labels=LABELS).loss.backward()
    assert all(parameter.grad is None for parameter in reader.exits.parameters())


def test_distillation_is_the_divergence_of_the_last_exit_from_each(batch) -> None:
    reader = make(regime="distillation").train()
    output = reader(**batch)
    p_BEK = output.exit_logits.softmax(-1)
    student, teacher = p_BEK[:, :-1], p_BEK[:, -1:]
    by_hand = (teacher * (teacher / student).log()).sum(-1).mean(0).sum()
    torch.testing.assert_close(output.loss, by_hand)
    assert distillation_loss(output.logits, output.logits).item() == pytest.approx(0, abs=1e-6)


def test_distillation_asks_for_no_labels_and_ignores_those_that_it_gets(batch) -> None:
    reader = make(regime="distillation")
    losses = {reader(**batch, labels=labels).loss.item() for labels in (LABELS, LABELS.flip(0))}
    assert len(losses) == 1
    assert reader(**batch).loss is None  # in evaluation nobody asked for a loss
    assert make(regime="joint").train()(**batch).loss is None


def test_gradients_of_an_exit_stop_at_the_exit_before_it(batch) -> None:
    def of(reader: EarlyExit, loss: torch.Tensor) -> dict[str, torch.Tensor]:
        reader.zero_grad()
        loss.backward()
        return gradients(reader)

    separated, joint = make(regime="gradient_separated"), make()
    together = of(separated, separated(**batch, labels=LABELS).loss)
    assert set(together) == {name for name, _ in separated.named_parameters()}
    for k in range(3):
        alone = of(joint, cross_entropies(joint(**batch, labels=LABELS))[k])
        segment = [f"encoder.layer.{k}.", f"exits.{k}.", *(["embeddings."] if k == 0 else [])]
        if k == 2:
            segment += ["classifier.classifier.", "bert.pooler."]
        mine = [name for name in together if any(part in name for part in segment)]
        assert len(mine) > 10
        for name in mine:
            torch.testing.assert_close(together[name], alone[name], msg=name)
        # Without the separation the exit does reach back.
        assert k == 0 or any("encoder.layer.0." in name for name in alone)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_every_parameter(family, batch) -> None:
    reader = make(family, learned_criteria=["certainty"]).train()
    reader(**batch, labels=LABELS).loss.backward()
    assert set(gradients(reader)) == {name for name, _ in reader.named_parameters()}


@pytest.mark.parametrize("regime", REGIMES)
def test_a_regime_trains_what_it_says_and_freezes_the_rest(regime, batch, tmp_path: Path) -> None:
    make(learned_criteria=LEARNED).save_pretrained(tmp_path)
    # Loading makes new parameters: they have to be frozen after it.
    reader = EarlyExit.from_pretrained(tmp_path, regime=regime).train()
    reader.training_step = 1
    reader(**batch, labels=LABELS).loss.backward()
    groups = {"classifier": reader.classifier, "exits": reader.exits, **reader.learned}
    for name, group in groups.items():
        trained = name in REGIMES[regime].trains
        assert all(p.requires_grad == trained for p in group.parameters())
        assert any(p.grad is not None for p in group.parameters()) == trained, name
        assert group.training == trained  # frozen layers drop nothing out


def test_a_frozen_encoder_says_the_same_in_training_as_in_evaluation(batch) -> None:
    reader = make(regime="two_stage")
    with torch.no_grad():
        torch.testing.assert_close(reader.train()(**batch).logits, reader.eval()(**batch).logits)


def test_in_regression_the_losses_are_squared_errors(batch) -> None:
    labels = torch.tensor([0.5, -1.0, 2.0, 0.0])
    output = make(num_labels=1)(**batch, labels=labels)
    errors = (output.exit_logits[..., 0] - labels[:, None]).square().mean(0)
    torch.testing.assert_close(output.loss, (errors * torch.tensor([1, 2, 3]) / 6).sum())
    output = make(num_labels=1, regime="distillation")(**batch, labels=labels)
    errors = (output.exit_logits[:, :-1, 0] - output.logits).square().mean(0)
    torch.testing.assert_close(output.loss, errors.sum())


def test_closeness_is_being_right_and_in_regression_nearness() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    assert closeness(logits, torch.tensor([0, 0])).tolist() == [1, 0]
    near = closeness(torch.tensor([[1.0], [3.0]]), torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(near, torch.tensor([1.0, 1 - torch.tensor(2.0).tanh().item()]))


class _Texts(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, k: int) -> dict[str, torch.Tensor]:
        random = torch.Generator().manual_seed(k)
        ids = torch.randint(3, 100, (6,), generator=random)
        return {"input_ids": ids, "labels": ids[0] % 3}


def fit(folder: Path, regime: str, start: Path, **options) -> dict[str, torch.Tensor]:
    """Train for six steps (or go on to the sixth); the weights."""
    reader = EarlyExit.from_pretrained(start, regime=regime)
    args = TrainingArguments(
        output_dir=str(folder),
        max_steps=6,
        save_steps=3,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(reader, args, train_dataset=_Texts(), callbacks=[TrainingStep()])
    trainer.train(**options)
    return {name: value.clone() for name, value in reader.state_dict().items()}


@pytest.mark.parametrize("regime", REGIMES)
def test_training_changes_what_the_regime_trains_and_resumes_as_uninterrupted(
    regime, tmp_path: Path
) -> None:
    make(learned_criteria=LEARNED).save_pretrained(tmp_path / "start")
    before = EarlyExit.from_pretrained(tmp_path / "start").state_dict()
    after = fit(tmp_path / "run", regime, tmp_path / "start")
    resumed = fit(
        tmp_path / "run",
        regime,
        tmp_path / "start",
        resume_from_checkpoint=tmp_path / "run" / "checkpoint-3",
    )
    assert all(torch.equal(after[name], resumed[name]) for name in after)
    names = [name for name in after if "position_ids" not in name and "token_type_ids" not in name]
    changed = {name for name in names if not torch.equal(before[name], after[name])}
    groups = {name: name.split(".")[1 if name.startswith("learned.") else 0] for name in names}
    trains = REGIMES[regime].trains
    assert {groups[name] for name in changed} == trains
    assert changed >= {name for name in names if groups[name] == "exits"} or "exits" not in trains
    saved = EarlyExit.from_pretrained(tmp_path / "run" / "checkpoint-6")
    assert saved.config.regime == regime and saved.config.learned_criteria == LEARNED
    assert all(torch.equal(after[name], value) for name, value in saved.state_dict().items())
