"""The language half: prompts with visual tokens, to scores of options or to written answers.

Prompts of different lengths are one batch: filled up on the left, each with positions of its own,
so that the newest token of all of them is the last, and none sees what it was filled with.

B prompts, T tokens of the longest, A axes of positions, V visual tokens, O option tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...checks import check_count
from ...macs import count_macs
from ...packed import Packed
from .encoding import Encoder
from .said import logs_and_leads

_MOST_TOKENS = 256

NO_OPTIONS = torch.tensor([[-1, -1]])


class Answering:
    """Runs the language model on prompts.

    Args:
        model: a video-language model of transformers.
        encoder: of the model.
        pad_token_id: what prompts are filled up with.

    Attributes:
        generation: options of `model.generate`.
    """

    def __init__(self, model: Any, encoder: Encoder, pad_token_id: int) -> None:
        self.model = model
        self.encoder = encoder
        self.pad_token_id = pad_token_id
        self.generation: dict[str, Any] = {}
        self.set_generation()

    def set_generation(self, **options: Any) -> None:
        """Set how answers are written: options of `model.generate`.

        Without `do_sample` the likeliest tokens are, whatever the model's own configuration says;
        and without a length 256 of them at most, as in transformers' pipelines.

        Raises:
            ValueError: an option has no such value, or asks for several answers at once.
        """
        for name in ("num_beams", "num_return_sequences"):
            if options.get(name) not in (None, 1):
                raise ValueError(f"{name} ({options[name]}) must be 1: a look writes one answer")
        if options.get("max_new_tokens") is not None:
            check_count("max_new_tokens", options["max_new_tokens"], 1)
        config = copy.deepcopy(options.pop("generation_config", self.model.generation_config))
        config.num_beams = config.num_return_sequences = 1
        if not options.get("do_sample"):
            config.do_sample = False
            config.temperature = config.top_p = config.top_k = config.min_p = None
        if config.max_new_tokens is None:
            config.max_new_tokens = _MOST_TOKENS
        self.generation = {"generation_config": config, **options}

    def positions_of(self, inputs: Mapping[str, Any]) -> Tensor:
        """Positions of a prompt's tokens, `[T, A]`, as the model itself numbers them."""
        ids_1T = inputs["input_ids"]
        number = getattr(self.model.base_model, "get_rope_index", None)
        if number is None:
            return torch.arange(ids_1T.shape[1])[:, None]
        kept = {
            name: value if isinstance(value, Tensor) else torch.tensor(value)
            for name, value in inputs.items()
            if name in ("mm_token_type_ids", "video_grid_thw", "second_per_grid_ts")
        }
        positions_A1T, _ = number(ids_1T, **kept, attention_mask=torch.ones_like(ids_1T))
        return positions_A1T[:, 0].T.contiguous()

    def answer(
        self, ids: Packed, positions: Packed, features: Packed, options: Packed
    ) -> tuple[Packed, Tensor]:
        """A stage.

        Args:
            ids: of each prompt, int64 `[T]`.
            positions: of its tokens, int64 `[T, A]`.
            features: of its visual tokens, `[V, ...]`, see `Encoder`.
            options: `[O, 2]` token and number of the option that it belongs to, in order; or
                `NO_OPTIONS`: an answer is to be written.

        Returns:
            Of each prompt float64 `[K, 3]` with the log-probability of each option in the second
            column, or `[L, 3]` with token, log-probability and lead of each token that was written;
            and the MACs of each (0, not counted, of what is written on a GPU).
        """
        rows = (ids, positions, features, options)
        writes = [int(one[0, 1]) < 0 for one in options.sequences()]
        found: list[Tensor] = [torch.empty(0)] * len(writes)
        macs = torch.zeros(len(writes), dtype=torch.long)
        for kind, run in ((False, self._score), (True, self._write)):
            at = [row for row, written in enumerate(writes) if written is kind]
            if at:
                part = [row.select(at) for row in rows]
                # Counting takes microseconds an operation: on a GPU most of the time of a token.
                if kind and self.model.device.type != "cpu":
                    results, spent = run(*part), 0
                else:
                    results, spent = count_macs(run, *part)
                macs[at] = spent // len(at)
                for row, result in zip(at, results, strict=True):
                    found[row] = result
        return Packed.of(found), macs

    def _batch(self, ids: Packed, positions: Packed, features: Packed) -> dict[str, Any]:
        device = self.model.device
        filled: dict[str, Any] = {"batch_first": True, "padding_side": "left"}
        ids_BT = pad_sequence(list(ids.sequences()), padding_value=self.pad_token_id, **filled)
        ones = [torch.ones_like(one) for one in ids.sequences()]
        positions_BTA = pad_sequence(list(positions.sequences()), **filled)
        positions_ABT = positions_BTA.permute(2, 0, 1)
        return {
            "input_ids": ids_BT.to(device),
            "attention_mask": pad_sequence(ones, **filled).to(device),
            "position_ids": (positions_ABT if len(positions_ABT) > 1 else positions_ABT[0]).to(
                device
            ),
            **self.encoder.given(features.values),
        }

    def _score(self, ids: Packed, positions: Packed, features: Packed, options: Packed) -> Any:
        """Log-probabilities of options: of their first tokens at once, of others behind those."""
        batch = self._batch(ids, positions, features)
        listed = [_lists(one) for one in options.sequences()]
        longest = max(len(tokens) for row in listed for tokens in row)
        output = self.model(**batch, logits_to_keep=1, use_cache=longest > 1, return_dict=True)
        first_BV = output.logits[:, -1].double().log_softmax(-1).cpu()
        owners = [row for row, tokens in enumerate(listed) for _ in tokens]
        tokens_R = [tokens for row in listed for tokens in row]
        scores_R = first_BV[owners, [tokens[0] for tokens in tokens_R]]
        if longest > 1:
            scores_R = scores_R + self._behind(output.past_key_values, batch, owners, tokens_R)
        scores = scores_R.split([len(row) for row in listed])
        return [
            torch.stack([torch.zeros_like(one), one, torch.zeros_like(one)], 1) for one in scores
        ]

    def _behind(
        self, cache: Any, batch: Mapping[str, Any], owners: list[int], tokens_R: list[list[int]]
    ) -> Tensor:
        """Log-probabilities of options' tokens after the first, float64 `[R]`."""
        device = self.model.device
        at = torch.tensor(owners, device=device)
        cache.batch_select_indices(at)  # a prompt's keys and values for each of its options
        given_RO = pad_sequence([torch.tensor(one[:-1] or [0]) for one in tokens_R], True).to(
            device
        )
        lengths_R = torch.tensor([len(one) - 1 for one in tokens_R], device=device)
        steps_O = torch.arange(given_RO.shape[1], device=device)
        is_given_RO = steps_O < lengths_R[:, None]
        mask = torch.cat([batch["attention_mask"][at], is_given_RO.long()], 1)
        last = batch["position_ids"][..., -1:].index_select(-2, at)
        output = self.model(
            input_ids=given_RO,
            attention_mask=mask,
            position_ids=last + 1 + steps_O,
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
        logs_ROV = output.logits.double().log_softmax(-1)
        next_RO = pad_sequence([torch.tensor(one[1:] or [0]) for one in tokens_R], True).to(device)
        logs_RO = logs_ROV.gather(-1, next_RO[..., None])[..., 0]
        return logs_RO.masked_fill(~is_given_RO, 0.0).sum(-1).cpu()

    def _write(self, ids: Packed, positions: Packed, features: Packed, options: Packed) -> Any:
        batch = self._batch(ids, positions, features)
        output = self.model.generate(
            **batch,
            **self.generation,
            pad_token_id=self.pad_token_id,
            output_logits=True,
            return_dict_in_generate=True,
        )
        written_BL = output.sequences[:, batch["input_ids"].shape[1] :]
        told = [
            logs_and_leads(logits_BV, written_BL[:, step])
            for step, logits_BV in enumerate(output.logits)
        ]
        columns_BL3 = torch.stack(
            [
                written_BL.double(),
                torch.stack([logs for logs, _ in told], 1),
                torch.stack([leads for _, leads in told], 1),
            ],
            -1,
        ).cpu()
        ends = self._ends()
        return [row[: _length(row[:, 0].tolist(), ends)] for row in columns_BL3]

    def _ends(self) -> set[int]:
        config = self.generation.get("generation_config") or self.model.generation_config
        ends = self.generation.get("eos_token_id", config.eos_token_id)
        ends = [] if ends is None else ends
        return set(ends if isinstance(ends, list | tuple) else [int(ends)])


def _lists(option_O2: Tensor) -> list[list[int]]:
    """The tokens of each option."""
    found: list[list[int]] = []
    for token, number in option_O2.tolist():
        if number == len(found):
            found.append([])
        found[number].append(token)
    return found


def _length(tokens: list[float], ends: set[int]) -> int:
    """Up to what ends an answer, that included; the rest of a row is filling."""
    return next((at + 1 for at, token in enumerate(tokens) if int(token) in ends), len(tokens))
