"""What an EarlyExit is made of: its configuration, saving and loading, and where it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, GPT2Config

from temporal.models import EarlyExit, EarlyExitConfig
from temporal.policies.halt import CRITERIA, FOR_REGRESSION

from ..encoder_families import FAMILIES, LENGTHS, family_config, make, make_classifier


@pytest.mark.parametrize("family", FAMILIES)
def test_saving_keeps_outputs_and_policy(family, tmp_path: Path, random_words, padded) -> None:
    reader = make(family, exit_layers=[2], exit_pooling="first")
    reader.config.thresholds, reader.config.criterion = [0.4], "margin"
    reader.save_pretrained(tmp_path)
    loaded = EarlyExit.from_pretrained(tmp_path).eval()
    config = loaded.config
    assert (config.exit_layers, config.exit_pooling) == ([2, 3], "first")
    assert (config.thresholds, config.criterion) == ([0.4], "margin")
    inputs = padded(random_words(LENGTHS))
    with torch.no_grad():
        a, b = reader(*inputs), loaded(*inputs)
    torch.testing.assert_close(a.exit_logits, b.exit_logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_missing_from_a_checkpoint_start_sane_and_the_others_stay(
    family, tmp_path: Path
) -> None:
    reader = make(family)
    heads = {f"classifier.{name}" for name in reader.exits[0].names}
    kept = {
        name: value
        for name, value in reader.state_dict().items()
        if not name.startswith(("exits.", *heads))
    }
    reader.save_pretrained(tmp_path, state_dict=dict(kept))  # it empties what it is given
    loaded = EarlyExit.from_pretrained(tmp_path)
    missing = 0
    for name, value in loaded.state_dict().items():
        if name in kept:
            assert torch.equal(value, kept[name]), name
        else:
            missing += 1
            assert torch.isfinite(value).all() and value.abs().max() < 2, name
            if name.endswith("weight") and value.dim() == 2:
                assert 0.001 < value.std() < 0.5, name
    assert missing


def test_exits_start_as_the_classifiers_own_head(random_words, padded) -> None:
    classifier = make_classifier("bert")
    reader = EarlyExit.from_classifier(classifier, [1, 2, 3])
    for branch in reader.exits:
        torch.testing.assert_close(
            branch.parts[0].dense.weight, classifier.bert.pooler.dense.weight
        )
        torch.testing.assert_close(branch.parts[2].weight, classifier.classifier.weight)
        assert branch.parts[2] is not reader.classifier.classifier


def fields(**changed: object) -> dict:
    return {**family_config(**changed).to_dict(), "model_type": "bert"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"exit_layers": [0, 2]}, r"exit_layers \(\[0, 2\]\) must lie between 1 and .* 3 layers"),
        ({"exit_layers": [4]}, r"exit_layers \(\[4\]\) must lie between"),
        ({"exit_pooling": "max"}, r"exit_pooling \('max'\) must be one of \['first', 'mean'\]"),
        ({"exit_head": "deep"}, r"exit_head \('deep'\) must be one of \['copy', 'linear'\]"),
        ({"criterion": "hope"}, r"criterion \('hope'\) must be one of"),
        ({"exit_layers": [1], "thresholds": [0.5, 0.5]}, "one number for each of the 1 exits"),
        ({"regime": "luck"}, r"regime \('luck'\) must be one of \['alternating'"),
        ({"learned_criteria": ["luck"]}, r"learned_criteria \('luck'\) must be one of"),
        ({"window_size": 1}, r"window_size \(1\) must be >= 2"),
        (
            {"criterion": "certainty"},
            r"criterion \('certainty'\) is learned, .* are \[\]: train it",
        ),
        ({"regime": "criteria"}, r"regime \('criteria'\) trains .* none: give it .* learned"),
        ({"regime": "two_stage", "exit_layers": [3]}, r"regime \('two_stage'\) trains .* none"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(config, message) -> None:
    with pytest.raises(Exception, match=message):
        EarlyExitConfig(encoder=fields(), **config)


@pytest.mark.parametrize("criterion", sorted(set(CRITERIA) - set(FOR_REGRESSION)))
def test_a_regression_refuses_criteria_that_need_probabilities(criterion) -> None:
    with pytest.raises(Exception, match=rf"criterion \('{criterion}'\) needs probabilities"):
        EarlyExitConfig(encoder=fields(num_labels=1), criterion=criterion)
    reader = make(num_labels=1)
    with pytest.raises(ValueError, match=rf"policy \('{criterion}'\) needs probabilities"):
        reader.set_policy(criterion, 0.9)
    assert reader.config.criterion == "window"  # what it had


def test_patience_in_regression_needs_a_tolerance() -> None:
    with pytest.raises(Exception, match=r"tolerance \(0.0\) must be > 0 for patience"):
        EarlyExitConfig(encoder=fields(num_labels=1), criterion="patience")
    config = EarlyExitConfig(encoder=fields(num_labels=1), criterion="patience", tolerance=0.5)
    assert (config.num_labels, config.criterion) == (1, "patience")


def test_the_default_criterion_fits_the_task() -> None:
    assert EarlyExitConfig(encoder=fields()).criterion == "confidence"
    assert EarlyExitConfig(encoder=fields(num_labels=1)).criterion == "window"


@pytest.mark.parametrize(
    ("problem", "num_labels"), [("multi_label_classification", 3), ("regression", 2)]
)
def test_several_answers_at_once_are_refused(problem, num_labels) -> None:
    encoder = fields(problem_type=problem, num_labels=num_labels)
    with pytest.raises(Exception, match=rf"problem_type \('{problem}'\) with {num_labels} labels"):
        EarlyExitConfig(encoder=encoder)


def test_what_is_changed_on_loading_is_checked_too(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    assert EarlyExit.from_pretrained(tmp_path, regime="distillation").config.regime
    for changed in ({"regime": "luck"}, {"criterion": "certainty"}, {"regime": "criteria"}):
        with pytest.raises(ValueError, match=str(list(changed)[0])):
            EarlyExit.from_pretrained(tmp_path, **changed)


def test_exits_are_every_layer_unless_chosen_and_end_with_the_last() -> None:
    assert EarlyExitConfig(encoder=fields()).exit_layers == [1, 2, 3]
    assert EarlyExitConfig(encoder=fields(), exit_layers=[2, 1]).exit_layers == [1, 2, 3]
    assert EarlyExitConfig(encoder=fields(), exit_layers=[3]).exit_layers == [3]


def test_an_encoder_of_no_known_family_is_refused_by_name() -> None:
    config = GPT2Config(vocab_size=50, n_embd=8, n_layer=2, n_head=2, num_labels=2)
    classifier = AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(ValueError, match=r"model_type \('gpt2'\) must be one of \['albert'"):
        EarlyExit.from_classifier(classifier)


def test_a_policy_sets_one_threshold_for_all_exits() -> None:
    reader = make()
    reader.set_policy("patience", 2)
    assert (reader.config.criterion, reader.config.thresholds) == ("patience", [2.0, 2.0])
    reader.set_policy("patience", None)
    assert reader.config.thresholds is None
    with pytest.raises(ValueError, match=r"policy \('read'\) must be one of"):
        reader.set_policy("read", 0.5)
