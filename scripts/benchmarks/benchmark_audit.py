"""When audits raise an alarm, and when not: simulated, on texts, and on videos. Prints JSON.

    python scripts/benchmarks/benchmark_audit.py --simulate 1000
    python scripts/benchmarks/benchmark_audit.py --task text-classification \\
        --data imdb=imdb/test_part.parquet --data trec=trec/train_5500.label
    python scripts/benchmarks/benchmark_audit.py --task video-classification --model out/reader \\
        --data same=clips/same --data other=clips/other --changes dark,blur,codec --changed same

Every input of a data set, shuffled, is read both ways; what an audit of a smaller share would have
seen is told from that by the ids that it would have chosen. `alarm_after` and `unlike_after` count
inputs, null where there was no alarm.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from parts.changed_clips import changed_clip

from temporal.auditing.betting import passes
from temporal.auditing.likeness import Likeness
from temporal.auditing.signals import NUM_CELLS, counted
from temporal.data import Item
from temporal.data.labelled.files import read_labelled_texts
from temporal.pipelines import pipeline
from temporal.pipelines.auditing.audit import Audit
from temporal.pipelines.auditing.summary import AuditSummary
from temporal.pipelines.auditing.watched import differing_at_calibration
from temporal.pipelines.jobs.table.targets import label_names, target_name

SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)
LIMITS = (0.02, 0.05, 0.1, 0.2)


def needed(limit: float, most: int) -> np.ndarray:
    """Disagreements with which an alarm is raised, after 1, 2 ... audits."""
    found, seen = [], 0
    for audited in range(1, most + 1):
        while seen <= audited and not passes(seen, audited, limit):
            seen += 1
        found.append(seen)
    return np.array(found)


def first_alarms(outcomes_RN: np.ndarray, limit: float) -> np.ndarray:
    """After how many outcomes each run raises its alarm; 0: it does not."""
    hits_RN = outcomes_RN.cumsum(1) >= needed(limit, outcomes_RN.shape[1])
    return np.where(hits_RN.any(1), hits_RN.argmax(1) + 1, 0)


def simulated_audits(runs: int, length: int = 2000) -> list[dict[str, Any]]:
    """Audits of inputs whose answers differ with one chance throughout."""
    rng, rows = np.random.default_rng(0), []
    for limit in LIMITS:
        for chance in (limit / 2, limit, 2 * limit, 0.3, 0.5, 0.7):
            alarms = first_alarms(rng.random((runs, length)) < chance, limit)
            rows.append(
                {"max_disagreement": limit, "disagreement": round(chance, 3), **_told(alarms)}
            )
    return rows


def simulated_likeness(runs: int, length: int = 2000) -> list[dict[str, Any]]:
    """Inputs with two signals, whose certainty moves by some logits from some input on."""
    rng, rows = np.random.default_rng(1), []

    def drawn(shift: float, count: int) -> list[dict[str, int]]:
        cells = ((rng.normal(2 - shift, 1.5, count) + 4) * 4).clip(0, NUM_CELLS - 1).astype(int)
        read = rng.geometric(0.3, count).clip(0, NUM_CELLS - 1)
        return [
            {"certainty": int(a), "units_read": int(b)} for a, b in zip(cells, read, strict=True)
        ]

    for size in (64, 256, 2500):
        for shift, start in ((0.0, 0), (0.5, 0), (1.0, 0), (2.0, 0), (1.0, 1000), (2.0, 1000)):
            alarms = []
            for _ in range(runs if shift == 0 else max(1, runs // 10)):
                watch = Likeness(counted(drawn(0, size)))
                inputs = [*drawn(0, start), *drawn(shift, length - start)]
                after = next((k for k, x in enumerate(inputs, 1) if watch.add(x)), 0)
                alarms.append(after - start if after else 0)
            rows.append(
                {"calibrated_on": size, "shift": shift, "from": start, **_told(np.array(alarms))}
            )
    return rows


def _told(alarms: np.ndarray) -> dict[str, Any]:
    raised = alarms[alarms != 0]
    told = {"runs": len(alarms), "alarms": round(float((alarms != 0).mean()), 4)}
    if len(raised):
        told |= {
            "median_after": float(np.median(raised)),
            "p90_after": float(np.quantile(raised, 0.9)),
        }
    return told


def items_of(task: str, path: str, limit: int | None, seed: int) -> list[Item]:
    """Inputs with their labels, shuffled."""
    if task.startswith("text"):
        rows = read_labelled_texts(path)
        names = getattr(rows.features["label"], "names", None)
        labels = [names[k] if names else str(k) for k in rows["label"]]
        pairs = list(zip(rows["text"], labels, strict=True))
    else:
        clips = sorted(Path(path).glob("*/*.mp4"))
        pairs = [(str(clip), clip.parent.name) for clip in clips]
    random.Random(seed).shuffle(pairs)
    return [
        Item(id=f"{k}", value=value, extra={"label": label})
        for k, (value, label) in enumerate(pairs[:limit])
    ]


def watched(task: str, model: str | None, items: list[Item], budget: float | None) -> dict:
    """Read inputs both ways, and tell what audits of all shares and limits would have found."""
    audit = Audit(1.0)
    audit.tell = lambda message: None
    pipe = pipeline(task, model, audit=audit, device="cpu", budget=budget)
    names = label_names(pipe)
    labels = {item.id: str(target_name(item.extra["label"], names)) for item in items}
    answered: dict[str, str] = {}
    full: dict[str, str] = {}
    agreed: dict[str, bool] = {}
    unlike_after = None
    read, confident = [], []
    for count, reading in enumerate(pipe.read(items), start=1):
        if reading.predictions:
            answered[reading.id] = reading.predictions[0]["label"]
            read.append(reading.trace.units_read)
            confident.append(reading.predictions[0]["score"])
        if unlike_after is None and audit.unlike is not None:
            unlike_after = count
        while audit.finished:
            _note(audit.finished.popleft(), full, agreed)
    while audit.finished:
        _note(audit.finished.popleft(), full, agreed)
    summary = AuditSummary(share=1.0, at_calibration=differing_at_calibration(pipe))
    order = [item.id for item in items if item.id in agreed]
    return {
        "inputs": len(items),
        "read_both_ways": len(agreed),
        "disagreement": round(1 - np.mean(list(agreed.values())), 4),
        "at_calibration": _share(summary),
        "right": _right(answered, labels, names.values()),
        "right_in_full": _right(full, labels, names.values()),
        "units_read": round(float(np.mean(read)), 2),
        "certainty": round(float(np.mean(confident)), 4),
        "compared": None if audit.likeness is None else sorted(audit.likeness.stored),
        "unlike": None if audit.unlike is None else audit.unlike.told,
        "unlike_after": unlike_after,
        "alarm_after": {
            f"D={limit} share={share}": _alarm_after(order, agreed, limit, share)
            for limit in LIMITS
            for share in SHARES
        },
    }


def _note(audited: Any, full: dict[str, str], agreed: dict[str, bool]) -> None:
    if audited.agreed is not None:
        agreed[audited.id] = audited.agreed
        full[audited.id] = audited.full.predictions[0]["label"]


def _share(summary: AuditSummary) -> str | None:
    before = summary.at_calibration
    if before is None:
        return None
    return f"{before.disagreed} of {before.audited}, < {summary.calibration_bound:.4f}"


def _right(answers: dict[str, str], labels: dict[str, str], known: Collection[str]) -> str | None:
    """Right answers of those whose labels are the model's; None where none is."""
    judged = [name for name in answers if labels[name] in known]
    right = sum(answers[name] == labels[name] for name in judged)
    return f"{right} of {len(judged)}" if judged else None


def _alarm_after(
    order: list[str], agreed: dict[str, bool], limit: float, share: float
) -> int | None:
    audit = Audit(share)
    audit.full = (None, None)
    chosen = [k for k, name in enumerate(order) if audit.chooses(name)]
    if not chosen:
        return None
    after = first_alarms(np.array([[not agreed[order[k]] for k in chosen]]), limit)[0]
    return chosen[after - 1] + 1 if after else None


def main() -> None:
    """Measure what is asked for, and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--simulate", type=int, help="runs of each simulation")
    parser.add_argument("--task", default="text-classification")
    parser.add_argument("--model", help="default: the bundled one")
    parser.add_argument("--budget", type=float)
    parser.add_argument("--data", action="append", default=[], help="NAME=PATH, several times")
    parser.add_argument("--limit", type=int, help="inputs of each data set")
    parser.add_argument("--seed", type=int, default=0, help="of the order of inputs")
    parser.add_argument("--changes", default="", help="of clips: dark,bright,blur,codec")
    parser.add_argument("--changed", default="", help="name of the data that is changed")
    parser.add_argument("--output_dir", default="out/audit", help="for changed clips")
    args = parser.parse_args()
    found: dict[str, Any] = {}
    if args.simulate:
        found["audits"] = simulated_audits(args.simulate)
        found["likeness"] = simulated_likeness(args.simulate)
    paths = dict(one.partition("=")[::2] for one in args.data)
    for change in filter(None, args.changes.split(",")):
        folder = Path(args.output_dir, change)
        for item in items_of(args.task, paths[args.changed], args.limit, args.seed):
            clip = Path(item.value)
            changed_clip(clip, change, folder / clip.parent.name / clip.name)
        paths[f"{args.changed}, {change}"] = str(folder)
    for name, path in paths.items():
        items = items_of(args.task, path, args.limit, args.seed)
        found[name] = watched(args.task, args.model, items, args.budget)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
