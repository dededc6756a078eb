"""A video classifier on the tokens of clips that are worth computing; the others are really gone.

`"run_length"`: patches that do not change are dropped before they are embedded, which needs no
training (`kept_by_run_length`). `"merge"`: tokens that are alike become one between a layer's
attention and its feed-forward part; it then counts for all that it stands for (`policies.merge`).
What is left of all clips of a batch is packed without padding.

Layers may be run some at a time (`start`, `through`, `answer`), for exits between them.

B clips, N tokens of all of them, T patches of a whole clip, D model width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...backbones.video.clip_tokens import ClipTokens, Look
from ...backbones.video.families import family_of
from ...backbones.video.patches import grid_of, kept_by_run_length, patches_of
from ...macs import count_macs, count_macs_by_length
from ...policies.merge import merge_into, merged_in_layer, most_alike

REDUCTIONS = ("run_length", "merge")
"""Ways to have fewer tokens."""


class ClipState(NamedTuple):
    """Clips between two layers."""

    hidden_ND: Tensor
    """Hidden states of the tokens that are left."""
    tokens: ClipTokens
    """Which these are."""
    of_group: int
    """Patches of a whole group, within which tokens are merged."""


class ReducedClips:
    """Runs a classifier of transformers.

    Args:
        classifier: of a family in `temporal.backbones.video.FAMILIES`.

    Raises:
        ValueError: it is of another.
    """

    def __init__(self, classifier: Any) -> None:
        self.model = classifier
        self.family = family_of(classifier)
        self.patch = self.family.patch(classifier.config)
        self.layers = list(self.family.layers(classifier))
        self.steps = [self.family.steps(classifier.config, k) for k in range(len(self.layers))]
        self.merging = [k for k, steps in enumerate(self.steps) if steps[-1].merges]
        """Layers in which tokens may be merged."""
        self._macs: dict[str, int] = {}
        self._answer_macs_of: Callable[[int], int] | None = None
        self._dense: int | None = None

    def __call__(
        self,
        pixels_BFCHW: Tensor,
        *,
        threshold: float | None = None,
        keep_share: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Classify clips.

        Args:
            pixels_BFCHW: normalised, as the classifier takes them.
            threshold: of `kept_by_run_length`; None: no patch is dropped.
            keep_share: tokens that are left after the last layer when alike ones are merged; 1.0:
                none is merged.

        Returns:
            Logits `[B, K]`; tokens that layers computed, added up over the layers, int64 `[B]`; and
            the multiply-accumulates of each clip, int64 `[B]`.

        Raises:
            ValueError: the clips are not of the size that the classifier was made for, or tokens
                are to be dropped and merged.
        """
        state, macs_B = self.start(pixels_BFCHW, threshold=threshold, keep_share=keep_share)
        layers = range(len(self.layers))
        state, token_layers_B, more_B = self.through(layers, state, keep_share=keep_share)
        logits_BK, last_B = self.answer(state)
        return logits_BK, token_layers_B, macs_B + more_B + last_B

    def start(
        self,
        pixels_BFCHW: Tensor,
        *,
        threshold: float | None = None,
        keep_share: float = 1.0,
    ) -> tuple[ClipState, Tensor]:
        """The tokens before the first layer, and the MACs of each clip, int64 `[B]`; see above."""
        if threshold is not None and keep_share < 1:
            raise ValueError(
                f"threshold ({threshold}) must be None to merge tokens (keep_share={keep_share}): "
                "clips of different tokens are not merged"
            )
        hidden_ND, tokens = self._embed(pixels_BFCHW, threshold)
        patches_B = torch.tensor(tokens.lengths) - int(tokens.has_first)
        times, rows, columns = grid_of(pixels_BFCHW, self.patch)
        of_frame = self.steps[0][-1].view == "frame"
        state = ClipState(hidden_ND, tokens, rows * columns * (1 if of_frame else times))
        return state, patches_B * self._cost("embed", self._embed_one)

    def through(
        self, layers: range, state: ClipState, *, keep_share: float = 1.0
    ) -> tuple[ClipState, Tensor, Tensor]:
        """Compute consecutive layers.

        Args:
            layers: their numbers.
            state: of clips before them; with `keep_share` below 1 all of as many tokens.
            keep_share: see above.

        Returns:
            The state after them; the tokens that they computed and the multiply-accumulates of each
            clip, int64 `[B]`.
        """
        hidden_ND, tokens, of_group = state
        token_layers_B = torch.zeros(len(tokens.lengths), dtype=torch.long)
        macs_B = torch.zeros_like(token_layers_B)
        for k in layers:
            layer = self.layers[k]
            if self.family.before is not None:
                hidden_ND = self.family.before(self.model, k, hidden_ND, tokens)
            token_layers_B += torch.tensor(tokens.lengths)
            for step in self.steps[k]:
                look = Look(
                    tokens.view(step.view),
                    self.model.config,
                    watched=keep_share < 1 and step.merges and step is self.steps[k][-1],
                )
                residual_RD = step.residual(layer, look.view.rows(hidden_ND), look)
                hidden_ND = look.view.add(hidden_ND, residual_RD)
                macs_B += self._step_macs(k, look.view)
            if look.keys_Rd is not None:
                hidden_ND, tokens, more_B = self._merge(
                    k, hidden_ND, tokens, look, of_group, keep_share
                )
                macs_B += more_B
            hidden_ND = self.family.feed(layer, hidden_ND)
            macs_B += torch.tensor(tokens.lengths) * self._cost("feed", self._feed_one)
        return ClipState(hidden_ND, tokens, of_group), token_layers_B, macs_B

    def answer(self, state: ClipState) -> tuple[Tensor, Tensor]:
        """The classifier's logits `[B, K]` after its last layer, and their MACs, int64 `[B]`."""
        macs_B = torch.tensor([self._answer_macs(length) for length in state.tokens.lengths])
        return self.family.answer(self.model, state.hidden_ND, state.tokens), macs_B

    @property
    def dense_macs(self) -> int | None:
        """MACs of a clip of which nothing is dropped; None before the first clip was computed."""
        return self._dense

    def _embed(self, pixels_BFCHW: Tensor, threshold: float | None) -> tuple[Tensor, ClipTokens]:
        """Tokens of the patches that stay, first tokens before them."""
        times, rows, columns = grid_of(pixels_BFCHW, self.patch)
        positions_TD = self._positions((times, rows, columns), pixels_BFCHW)
        kept_BT = kept_by_run_length(pixels_BFCHW, self.patch, threshold)
        projection = self.family.projection(self.model)
        patches_NP = patches_of(pixels_BFCHW, self.patch)[kept_BT].flatten(1)
        hidden_ND = F.linear(patches_NP, projection.weight.flatten(1), projection.bias)
        clips_N, numbers_N = kept_BT.nonzero(as_tuple=True)
        if positions_TD is not None:
            hidden_ND = hidden_ND + positions_TD[numbers_N]
        times_N = torch.div(numbers_N, rows * columns, rounding_mode="floor")
        places_N = numbers_N % (rows * columns)
        counts = kept_BT.sum(1).tolist()
        if self.family.first is not None:
            first_1D = self.family.first(self.model).to(hidden_ND)[None]
            none_1 = times_N.new_full((1,), -1)
            hidden_ND = _each_begins(first_1D, hidden_ND, counts)
            times_N, places_N = (_each_begins(none_1, x, counts) for x in (times_N, places_N))
            counts = [count + 1 for count in counts]
        tokens = ClipTokens(
            lengths=tuple(counts),
            times_N=times_N,
            places_N=places_N,
            has_first=self.family.first is not None,
        )
        if self._dense is None:
            self._dense = self._macs_of_whole(tokens, (times, rows * columns))
        return hidden_ND, tokens

    def _positions(self, grid: tuple[int, int, int], pixels_BFCHW: Tensor) -> Tensor | None:
        """What is added to the tokens of a whole clip, `[T, D]`; None: nothing."""
        times, rows, columns = grid
        if self.family.positions is None:
            positions_TD, wanted = None, int(self.layers[0].attention.grid_size) ** 2
            fits = times > 0 and rows * columns == wanted
        else:
            positions_TD = self.family.positions(self.model).to(pixels_BFCHW)
            wanted = len(positions_TD)
            fits = times * rows * columns == wanted
        if not fits:
            frames, _, height, width = pixels_BFCHW.shape[1:]
            raise ValueError(
                "token_reduction needs clips of the size that the classifier was made for, "
                f"{wanted} patches{' of a tubelet' if positions_TD is None else ''}: {frames} "
                f"frames of {height} x {width} make {times} x {rows} x {columns}"
            )
        return positions_TD

    def _merge(
        self,
        k: int,
        hidden_ND: Tensor,
        tokens: ClipTokens,
        look: Look,
        of_group: int,
        keep_share: float,
    ) -> tuple[Tensor, ClipTokens, int]:
        """Merge tokens after the attention of layer k, within its groups, all of one size."""
        assert look.keys_Rd is not None
        spared = tokens.has_first or self.family.answers_by_patch(self.model.config)
        numbers_GL = look.view.tokens_of_groups()[:, int(spared) :]
        groups, left = numbers_GL.shape
        number = self.merging.index(k)
        count = merged_in_layer(number, len(self.merging), of_group, left, keep_share)
        if not count:
            return hidden_ND, tokens, 0
        keys_GLd = look.keys_Rd.unflatten(0, (groups, -1))[:, int(spared) :]
        going_Gr, taking_Gr = most_alike(keys_GLd, count)
        going = numbers_GL.gather(1, going_Gr).flatten()
        taking = numbers_GL.gather(1, taking_Gr).flatten()
        sizes_N = tokens.sizes_N
        if sizes_N is None:
            sizes_N = torch.ones(len(hidden_ND), device=hidden_ND.device)
        hidden_ND, sizes_N = merge_into(hidden_ND, sizes_N, going, taking)
        kept_N = torch.ones_like(sizes_N, dtype=torch.bool)
        kept_N[going] = False
        pairs = (left + 1) // 2 * (left // 2) * groups // len(tokens.lengths)
        return hidden_ND[kept_N], tokens.keep(kept_N, sizes_N), pairs * keys_GLd.shape[-1]

    # What it costs -------------------------------------------------------------------------------

    def _step_macs(self, k: int, view: Any) -> Tensor:
        """MACs of the attention steps of layer k whose rows a view has: int64 `[B]`."""
        total_B = torch.zeros_like(view.rows_B)
        for step in self.steps[k]:
            if view is view.tokens.view(step.view):
                of_pair = 2 * self.model.config.hidden_size  # as attention is counted everywhere
                of_row = self._cost(f"over {step.view}", partial(self._step_one, k, step)) - of_pair
                total_B += view.rows_B * of_row + view.pairs_B * of_pair
        return total_B

    def _macs_of_whole(self, tokens: ClipTokens, grid: tuple[int, int]) -> int:
        """MACs of one whole clip."""
        times, places = grid
        numbers_T = torch.arange(times * places)
        first = numbers_T.new_full((int(tokens.has_first),), -1)
        whole = ClipTokens(
            lengths=(times * places + len(first),),
            times_N=torch.cat([first, torch.div(numbers_T, places, rounding_mode="floor")]),
            places_N=torch.cat([first, numbers_T % places]),
            has_first=tokens.has_first,
        )
        total = len(numbers_T) * self._cost("embed", self._embed_one)
        for k, steps in enumerate(self.steps):
            total += whole.lengths[0] * self._cost("feed", self._feed_one)
            for step in steps:
                total += int(self._step_macs(k, whole.view(step.view)))
        return total + self._answer_macs(whole.lengths[0])

    def _cost(self, part: str, run: Callable[[], Any]) -> int:
        """The MACs of a part for one token, measured once: all layers have one shape."""
        if part not in self._macs:
            self._macs[part] = count_macs(run)[1]
        return self._macs[part]

    def _token(self) -> Tensor:
        weight = self.family.projection(self.model).weight
        return weight.new_zeros(1, self.model.config.hidden_size)

    def _embed_one(self) -> Tensor:
        weight = self.family.projection(self.model).weight.flatten(1)
        return F.linear(torch.zeros_like(weight[:1]), weight)

    def _step_one(self, k: int, step: Any) -> Tensor:
        none_1 = torch.zeros(1, dtype=torch.long, device=self._token().device)
        view = ClipTokens(lengths=(1,), times_N=none_1, places_N=none_1).view(step.view)
        return step.residual(self.layers[k], self._token(), Look(view, self.model.config))

    def _feed_one(self) -> Tensor:
        return self.family.feed(self.layers[0], self._token())

    def _answer_macs(self, length: int) -> int:
        """MACs of the answer to a clip of so many tokens."""
        if self._answer_macs_of is None:
            self._answer_macs_of = count_macs_by_length(self._answer_to)
        return self._answer_macs_of(length)

    def _answer_to(self, length: int) -> Tensor:
        hidden_ND = self._token().expand(length, -1)
        numbers_N = torch.arange(length, device=hidden_ND.device)
        tokens = ClipTokens(lengths=(length,), times_N=numbers_N, places_N=numbers_N)
        return self.family.answer(self.model, hidden_ND, tokens)


def _each_begins(first: Tensor, values_N: Tensor, counts: list[int]) -> Tensor:
    """The values of each clip, with one more before them."""
    return torch.cat([part for values in values_N.split(counts) for part in (first, values)])
