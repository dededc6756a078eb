"""What a configuration's operating points may say, for every reader there is."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, PreTrainedConfig

from temporal.models import READERS
from temporal.models.stored_points import NEVER, check_points
from temporal.pipelines import pipeline
from temporal.pipelines.loading.load import DEFAULTS

NAN, INF = float("nan"), float("inf")
BERT = BertConfig(
    hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=8, num_labels=2
).to_dict()
EARLY_EXIT = {"encoder": BERT, "model_type": "early_exit"}
OPTIONS: dict[str, dict[str, Any]] = {
    "early_exit": {"encoder": BERT},
    "chunk_reader": {"encoder": EARLY_EXIT},
    "frame_exit": {"num_frames": 3},
    "clip_reader": {"num_clips": 3},
    "clip_early_exit": {"num_clips": 3, "exit_layers": [1, 2, 3]},
    "ada_frame": {"num_frames": 3},
    "fast_forward": {"num_frames": 3},
    "frame_glimpse": {"num_frames": 3},
    "frame_skim_rnn": {"num_frames": 3},
    "frame_skip_rnn": {"num_frames": 3},
    "lite_eval": {"num_frames": 3},
    "sc_sampler": {"num_frames": 3},
    "oc_sampler": {"num_frames": 3},
    "listen_to_look": {"num_frames": 3},
    "ar_net": {"num_frames": 3},
    "ada_focus": {"num_frames": 3},
}
SHARES = ("read_threshold", "stop_threshold", "halt_threshold", "max_share", "keep_share")
GOOD: dict[str, list[Any]] = {
    **{name: [0.0, 0.5, 1] for name in SHARES},
    "token_threshold": [0.0, 0.1, 2, None],
    "tokens_between_jumps": [1, 20],
    "tokens_between_decisions": [0, 20],
    "max_jumps": [0, 5],
    "criterion": ["confidence", "margin"],
    "thresholds": [[0.5, NEVER], [0.0, 1.0], [NEVER, NEVER], None],
    "depth_thresholds": [[0.5, 0.9], [NEVER, NEVER], None],
    "temperatures": [[1.0, 2.5], None],
    "event_threshold": [0.0, 0.5, 1],
}
BAD: dict[str, list[Any]] = {
    **{name: [5.0, -0.1, NAN, INF, "0.5", None, True, [0.5]] for name in SHARES},
    "token_threshold": [-0.1, NAN, INF, "0.1", True, [0.1]],
    "tokens_between_jumps": [0, -1, 2.5, NAN, "20", None],
    "tokens_between_decisions": [-1, 2.5, NAN, None],
    "max_jumps": [-1, 0.5, NAN, 10**9],
    "criterion": ["certain", 3, None, ["confidence"]],
    "thresholds": [[NAN, 0.5], [5.0, 0.5], [0.5, -3], [INF, 0.5], ["a", 0.5], 0.5, "no", []],
    "depth_thresholds": [[0.5] * 50, [NAN, 0.5], [5.0, 0.5], 0.5, [0.5]],
    "temperatures": [[0.0, 1.0], [NAN, 1.0], [1.0] * 50, [INF, 1.0], 2.0],
    "event_threshold": [5.0, -0.1, NAN, INF, "0.5", None, [0.5]],
}


def config_of(model_type: str, **options: Any) -> PreTrainedConfig:
    return READERS[model_type].config_class(**OPTIONS.get(model_type, {}), **options)


def pointed(config: PreTrainedConfig, **changes: Any) -> PreTrainedConfig:
    config = copy.deepcopy(config)
    config.operating_points = [
        {"policy": {}, "cost_share": 1.0, "accuracy": 0.9, **changes},
    ]
    return config


@pytest.mark.parametrize("model_type", READERS)
def test_every_reader_takes_its_own_policy_and_refuses_other_values_and_fields(
    model_type: str,
) -> None:
    config = config_of(model_type)
    check_points(config)
    fields = READERS[model_type].config_class.policy_fields
    assert fields and all(hasattr(config, name) for name in fields)
    for name in fields:
        for value in GOOD[name]:
            check_points(pointed(config, policy={name: value}))
        for value in BAD[name]:
            with pytest.raises(ValueError, match=rf"operating_points\[0\].*policy.*{name}"):
                check_points(pointed(config, policy={name: value}))
    foreign = ["vocab_size", "id2label", "operating_points", "no_such", "_name_or_path"]
    for name in [*foreign, *(set(GOOD) - set(fields))]:
        with pytest.raises(ValueError, match=f"policy sets '{name}', which is no part of"):
            check_points(pointed(config, policy={name: 0.5}))


@pytest.mark.parametrize("model_type", ["early_exit", "frame_exit"])
def test_exits_have_one_threshold_each(model_type: str) -> None:
    for values in ([0.5] * 50, [0.5], [0.5] * 3):
        with pytest.raises(ValueError, match=r"thresholds .* before the last \(here: 2\)"):
            check_points(pointed(config_of(model_type), policy={"thresholds": values}))


def test_the_criterion_says_what_a_threshold_may_be() -> None:
    config = config_of("early_exit")
    patient = {"criterion": "patience", "thresholds": [2, 3]}
    check_points(pointed(config, policy=patient))
    check_points(pointed(config, policy=dict(reversed(patient.items()))))
    with pytest.raises(ValueError, match="thresholds"):
        check_points(pointed(config, policy={**patient, "criterion": "confidence"}))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"cost_share": NAN}, "cost_share"),
        ({"cost_share": "1"}, "cost_share"),
        ({"cost_share": None}, "cost_share"),
        ({"accuracy": NAN}, "accuracy"),
        ({"policy": None}, "policy"),
        ({"policy": [0.5]}, "policy"),
        ({"risk": "accuracy_drop"}, "drop_bound is missing"),
        ({"risk": "accuracy_drop", "drop_bound": NAN}, "drop_bound"),
        ({"risk": "accuracy_drop", "drop_bound": 0.1, "drop_bound_all": "x"}, "drop_bound_all"),
    ],
)
def test_a_malformed_point_is_an_error_that_names_the_field(changes: dict, named: str) -> None:
    config = pointed(config_of("skim_rnn"), **{"policy": {"read_threshold": 0.5}, **changes})
    with pytest.raises(ValueError, match=rf"operating_points\[0\]: {named}"):
        check_points(config)


@pytest.mark.parametrize("points", [{"policy": {}}, "points", 3, [None], [["policy"]]])
def test_what_is_no_list_of_points_is_refused(points: Any) -> None:
    config = config_of("skim_rnn")
    config.operating_points = points
    with pytest.raises(ValueError, match="operating_points"):
        check_points(config)


@pytest.mark.parametrize("option", [{}, {"max_drop": 0.05}, {"budget": 0.5}])
@pytest.mark.parametrize("policy", [{"read_threshold": NAN}, {"vocab_size": 3}, None])
def test_a_tampered_reader_is_refused_on_loading(
    tmp_path: Path, option: dict, policy: dict
) -> None:
    for path in (DEFAULTS / "review-skim-rnn").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["operating_points"][-1]["policy"] = policy
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"operating_points\[\d+\]"):
        pipeline("text-classification", model=str(tmp_path), **option)


def test_a_readers_points_are_checked_when_one_is_chosen() -> None:
    config = config_of("skim_rnn", vocab_size=10, hidden_size=4, embedding_size=4, skim_size=2)
    reader = READERS["skim_rnn"](pointed(config, policy={"vocab_size": 3}))
    for choose in (reader.set_budget, reader.set_max_drop):
        with pytest.raises(ValueError, match="policy sets 'vocab_size'"):
            choose(1.0)
    assert reader.config.vocab_size == 10
