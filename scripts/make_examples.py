"""Write small made-up texts and clips, in the formats that the other scripts take, to try them on.

    python scripts/make_examples.py examples

- `sentences.csv`, `sentences_test.csv`: columns text, label; verdicts on films that do not exist.
- `reviews.csv`: the same, of several hundred words, whose verdict stands in a few of them.
- `clips/`: 48 clips of a second that get brighter or darker, and `groups.csv` with their labels and
  the sessions that they are from.

The same every time. Nothing here is hard to learn: it shows how the scripts are used, and what is
measured on it says nothing of other data.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

GOOD = [
    "moving",
    "funny",
    "gripping",
    "tender",
    "brilliant",
    "charming",
    "graceful",
    "thrilling",
    "honest",
    "delightful",
]
BAD = [
    "dull",
    "clumsy",
    "tedious",
    "shallow",
    "lifeless",
    "predictable",
    "noisy",
    "pointless",
    "awkward",
    "dreary",
]
PARTS = [
    "plot",
    "ending",
    "dialogue",
    "cast",
    "score",
    "camera",
    "script",
    "pacing",
    "lead",
    "villain",
]
FILMS = ("Salt Road", "Parcel at Midnight", "Paper Lighthouse", "North of Summer", "Tin Orchard")
FILLERS = (
    "I saw {film} on a Tuesday with a friend.",
    "{film} runs for about two hours.",
    "The {part} of {film} has been talked about a good deal.",
    "It was shot in a small town by the sea.",
    "The {part} comes back to the first scene.",
    "There is a long walk through the rain, and then a train.",
    "My seat was in the third row.",
    "A second film by the same people is said to follow next year.",
)
VERDICTS = (
    "The {part} of {film} is {own}.",
    "{film} has a {part} that is {own} and {own2}.",
    "The {part} is not {other} at all, it is {own}.",
    "For an hour {film} seems {other}, but in the end it is {own}.",
    "What a {own} {part}, and what a {own2} {part2}!",
    "I had heard that {film} was {other}; to me the {part} was {own}.",
    "Hardly {other}: {film} is {own}, with a {own2} {part}.",
)


def filled(template: str, label: int, draw: random.Random) -> str:
    """A sentence of a label."""
    own, other = (GOOD, BAD) if label else (BAD, GOOD)
    first, second = draw.sample(own, 2)
    part, part2 = draw.sample(PARTS, 2)
    words = {"own": first, "own2": second, "other": draw.choice(other)}
    return template.format(film=draw.choice(FILMS), part=part, part2=part2, **words)


def sentences(count: int, draw: random.Random) -> list[tuple[str, int]]:
    """So many verdicts, no two alike, with labels in turn."""
    found: dict[str, int] = {}
    while len(found) < count:
        label = len(found) % 2
        found.setdefault(filled(draw.choice(VERDICTS), label, draw), label)
    return list(found.items())


def review(label: int, draw: random.Random) -> str:
    """A long text with three verdicts among much else."""
    lines = [filled(draw.choice(FILLERS), label, draw) for _ in range(draw.randint(8, 40))]
    for _ in range(3):
        lines.insert(draw.randint(0, len(lines)), filled(draw.choice(VERDICTS), label, draw))
    return " ".join(lines)


def write_table(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """A CSV file."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def write_clip(path: Path, *, brighter: bool, seed: int) -> None:
    """Twelve frames of noise that get brighter or darker, 64 x 64, H.264."""
    noise = np.random.default_rng(seed)
    levels = np.linspace(50, 200, 12)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"g": "4"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for level in levels if brighter else levels[::-1]:
            coarse = (level + noise.integers(-40, 41, (8, 8, 3))).clip(0, 255).astype(np.uint8)
            pixels = np.ascontiguousarray(coarse.repeat(8, axis=0).repeat(8, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))


def main() -> None:
    """Write all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder to write")
    folder = parser.parse_args().folder
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    rows = sentences(1200, draw)
    write_table(folder / "sentences.csv", ("text", "label"), rows[:1000])
    write_table(folder / "sentences_test.csv", ("text", "label"), rows[1000:])
    reviews = [(review(k % 2, draw), k % 2) for k in range(300)]
    write_table(folder / "reviews.csv", ("text", "label"), reviews)
    clips = []
    for k in range(48):
        label = ("darker", "brighter")[k % 2]
        write_clip(folder / "clips" / f"{k:02}.mp4", brighter=bool(k % 2), seed=k)
        clips.append((f"{k:02}.mp4", label, f"session-{k // 4}"))
    write_table(folder / "clips" / "groups.csv", ("path", "label", "group"), clips)
    print(f"{folder}: sentences.csv, sentences_test.csv, reviews.csv, clips/")


if __name__ == "__main__":
    main()
