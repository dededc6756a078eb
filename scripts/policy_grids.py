"""Run a reader on held-out inputs under many policies: the arrays that calibration works on.

Readers with exits say in one dense run what any thresholds would do. Any other reader is read once
under each policy of its family, through the pipeline that users call.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from held_out import HeldOut, documents_of
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from temporal.data import Video, VideoError
from temporal.models.operating_points import apply_point
from temporal.policies.halt import CRITERIA
from temporal.trace import Trace
from temporal.training.calibration import OperatingPoint, PolicyGrid, worth_having
from temporal.training.chunk_evidence import ask_exits, skim_chunks
from temporal.training.chunk_policies import chunk_grid
from temporal.training.exit_policies import NEVER, ExitAnswers, certainties
from temporal.training.temperature import fit_temperatures

_ABOUT_HALF = (0.4, 0.43, 0.46, 0.48, 0.5, 0.52, 0.55)
_FROM_SURE = (1.0, 0.99, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0)
THRESHOLDS = {
    "read_threshold": (0.0, 0.1, 0.2, 0.3, 0.35, *_ABOUT_HALF, 0.6, 0.65, 0.7, 0.8, 0.9),
    "stop_threshold": _FROM_SURE,
    "halt_threshold": _FROM_SURE,
}
"""By the field that they go into, from reading everything on, each reading less. Those of reading
are densest about 0.5, where most tokens' probabilities lie."""
TRAINED_AT = {"hm_rnn": 0.5, "adaptive_computation_time": 0.99}
"""By kind of reader: where these are trained, and where their family begins. With more boundaries,
or more steps, they compute more and answer worse: a weak full reading to compare with."""
BLOCKS, JUMPS = (40, 20, 10, 5), (40, 20, 10, 5, 2)
"""Tokens between jumps, and jumps in a text."""

_TIMED_ROUNDS = 3


def cost_of(trace: Trace, unit: str) -> float:
    """What a reading cost, in `"macs"` or `"ms"` (computing and decoding)."""
    if unit == "macs":
        return float(trace.cost.macs)
    return 1000 * (trace.cost.model_seconds + trace.cost.decode_seconds)


def read_at(
    pipe: Any, policy: dict[str, Any], inputs: Sequence[str], unit: str
) -> tuple[list[int | None], list[float]]:
    """Each input's answer (None: it cannot be read) and cost under a policy.

    Times are medians over rounds, after one that warms up and counts MACs.
    """
    apply_point(pipe.model.config, {"policy": policy})
    rounds = [list(pipe.read(inputs, top_k=1))]
    if unit == "ms":
        rounds = [list(pipe.read(inputs, top_k=1)) for _ in range(_TIMED_ROUNDS)]
    answers = [reading.classes[0] if reading.classes else None for reading in rounds[0]]
    costs = [
        statistics.median(cost_of(reading.trace, unit) if reading.trace else 0.0 for reading in one)
        for one in zip(*rounds, strict=True)
    ]
    return answers, costs


def read_grid(
    pipe: Any, policies: Sequence[dict[str, Any]], held_out: HeldOut, unit: str
) -> PolicyGrid:
    """Read the inputs under each policy; the first is the full reading.

    Without labels its answers stand in for them. Inputs that cannot be read are left out.
    """
    runs = [read_at(pipe, policy, held_out.inputs, unit) for policy in policies]
    good = [k for k, answers in enumerate(zip(*(run[0] for run in runs))) if None not in answers]  # noqa: B905
    answers_PN = torch.tensor([[answers[k] for k in good] for answers, _ in runs])
    labels_N = answers_PN[0] if held_out.labels is None else held_out.labels[good]
    return PolicyGrid(
        policies=policies,
        losses_PN=answers_PN != labels_N,
        costs_PN=torch.tensor([[costs[k] for k in good] for _, costs in runs]).double(),
        cost_unit=unit,
    )


def with_real_costs(
    pipe: Any, points: Sequence[OperatingPoint], inputs: Sequence[str]
) -> list[OperatingPoint]:
    """The points with what they cost on these inputs when they are really read, in batches.

    Those that cost no less than a safer one then are left out.
    """
    costs = []
    for point in points:
        answers, spent = read_at(pipe, point.policy, inputs, point.cost_unit)
        read = [cost for answer, cost in zip(answers, spent, strict=True) if answer is not None]
        costs.append(statistics.fmean(read))
    return worth_having(
        [
            replace(point, cost=cost, cost_share=cost / costs[0])
            for point, cost in zip(points, costs, strict=True)
        ]
    )


def family_of(config: Any) -> tuple[list[dict[str, Any]], bool]:
    """The policies of a reader without exits, the one that reads most first.

    Returns:
        Values for its policy fields, and whether they are in an order, each reading less.
    """
    for name, values in THRESHOLDS.items():
        if hasattr(config, name):
            first = TRAINED_AT.get(config.model_type, values[0])
            return [{name: value} for value in values[values.index(first) :]], True
    if hasattr(config, "max_jumps"):
        pairs = [(config.max_tokens, 0), *itertools.product(BLOCKS, JUMPS)]
        return [{"tokens_between_jumps": block, "max_jumps": n} for block, n in pairs], False
    raise ValueError(f"model_type ({config.model_type}) must have exits, or a family of policies")


def full_reading(config: Any) -> dict[str, Any]:
    """Values for a reader's policy fields with which it skips nothing and halts nowhere.

    Where that was never trained (`TRAINED_AT`), those of the training.
    """
    if not hasattr(config, "thresholds"):
        return family_of(config)[0][0]
    fields = {"thresholds": None, "depth_thresholds": None, "max_share": 1.0}
    return {name: value for name, value in fields.items() if hasattr(config, name)}


def chunk_policies(pipe: Any, held_out: HeldOut, unit: str, count: int) -> PolicyGrid:
    """Policies of a ChunkReader, from one pass that asks all exits about all chunks.

    The costs are in proportion to tokens times layers, to choose by.
    """
    reader = pipe.model
    documents = documents_of(held_out.inputs, pipe)
    evidence = ask_exits(reader, documents)
    if reader.skim is not None:
        texts = [document.ids for document in documents]
        evidence = evidence.with_skim(skim_chunks(reader.skim, texts, evidence.chunks()))
    return chunk_grid(reader, evidence, held_out.labels, cost_unit=unit, count=count)


@dataclass(frozen=True)
class ExitRun:
    """What a dense run over held-out inputs gave."""

    held_out: HeldOut
    """The inputs that could be read, N."""
    logits_NEK: Tensor
    """All exits'."""
    certainties: Tensor | None
    """`[N, E - 1]`, of readers that tell them (learned criteria)."""
    lengths_N: Tensor
    """Tokens of a text; 1 for videos, which all cost alike."""


def run_exits(pipe: Any, held_out: HeldOut) -> ExitRun:
    """Run all exits on the inputs. Videos that cannot be read in full are left out, and named."""
    config = pipe.model.config
    config.thresholds = config.temperatures = None
    batches = list(_dense(pipe, held_out.inputs))
    rows = torch.tensor([row for batch in batches for row in batch.rows])
    order = rows.argsort()
    kept = rows[order].tolist()
    said = [getattr(batch.outputs, "certainties", None) for batch in batches]
    return ExitRun(
        held_out=HeldOut(
            [held_out.inputs[k] for k in kept],
            None if held_out.labels is None else held_out.labels[kept],
        ),
        logits_NEK=torch.cat([batch.outputs.exit_logits.float().cpu() for batch in batches])[order],
        certainties=None if said[0] is None else torch.cat([part.cpu() for part in said])[order],
        lengths_N=torch.tensor([n for batch in batches for n in batch.lengths]).double()[order],
    )


def exit_answers(
    pipe: Any,
    run: ExitRun,
    costs_E: Sequence[float],
    unit: str,
    *,
    temperature_rows: Tensor | None = None,
) -> ExitAnswers:
    """What every exit says of the inputs, and about what reading until there costs.

    Args:
        pipe: its reader's configuration names the criterion, and gets the temperatures.
        run: of `run_exits`.
        costs_E: mean cost of an input that exit e answers; each input's is by its length.
        unit: of the costs.
        temperature_rows: fit a temperature for each exit on these inputs; None: none.
    """
    config = pipe.model.config
    answers_NE = run.logits_NEK.argmax(-1)
    labels = run.held_out.labels
    labels_N = answers_NE[:, -1] if labels is None else labels
    if temperature_rows is not None:
        logits, labels = run.logits_NEK[temperature_rows], labels_N[temperature_rows]
        config.temperatures = fit_temperatures(logits, labels)[:-1]
    learned = config.criterion not in CRITERIA
    certainty_NE = run.certainties if learned else certainties(config, run.logits_NEK)
    assert certainty_NE is not None  # readers with learned criteria tell them
    lengths_N = run.lengths_N / run.lengths_N.mean()
    return ExitAnswers(
        certainties=certainty_NE,
        losses_NE=answers_NE != labels_N[:, None],
        costs_NE=lengths_N[:, None] * torch.tensor(costs_E).double(),
        cost_unit=unit,
    )


def exit_costs(pipe: Any, inputs: Sequence[str], num_exits: int, unit: str) -> list[float]:
    """Mean cost of an input when all answer at exit e: `[E]`, measured on this machine.

    A model to choose by. Where some inputs go on and others do not, batches are less full.
    """
    first = getattr(pipe.model.config, "min_frames", 1) - 1  # no exit before it is asked
    costs = []
    for exit in range(first, num_exits):
        forced = [NEVER] * exit + [-NEVER] * (num_exits - 1 - exit)
        _, of_inputs = read_at(pipe, {"thresholds": forced}, inputs, unit)
        costs.append(statistics.fmean(of_inputs))
    pipe.model.config.thresholds = None
    return costs[:1] * first + costs


class _Batch(NamedTuple):
    rows: list[int]
    lengths: list[int]
    outputs: Any


@torch.inference_mode()
def _dense(pipe: Any, inputs: Sequence[str]) -> Iterator[_Batch]:
    if pipe.kind == "video":
        yield from _dense_videos(pipe, inputs)
        return
    documents = documents_of(list(inputs), pipe)
    order = sorted(range(len(documents)), key=lambda k: len(documents[k]))
    for start in range(0, len(order), pipe.batch_size):
        rows = order[start : start + pipe.batch_size]
        lengths = [len(documents[k]) for k in rows]
        ids = pad_sequence([documents[k].ids for k in rows], batch_first=True)
        mask = (torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]).long()
        outputs = pipe.model(ids.to(pipe.device), attention_mask=mask.to(pipe.device))
        yield _Batch(rows, lengths, outputs)


def _dense_videos(pipe: Any, paths: Sequence[str]) -> Iterator[_Batch]:
    config = pipe.model.config
    for k, path in enumerate(paths):
        try:
            with Video(path) as video:
                frames = pipe.model.plan(len(video), video.index.keyframes)
                pixels = video.read(frames, size=(config.image_size, config.image_size))
                times = torch.tensor([[frame / len(video) for frame in frames]])
        except VideoError as error:
            print(f"left out {path}: {error}")
            continue
        if len(frames) == config.num_frames:
            outputs = pipe.model(pixels[None].to(pipe.device), times=times.to(pipe.device))
            yield _Batch([k], [1], outputs)
