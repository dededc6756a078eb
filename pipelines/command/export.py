"""`temporal export`: the rows of a run as one table; its events as captions, cut lists ..."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from ..exports.formats import FORMATS, Format, format_of, written
from ..exports.rows import SUFFIXES, NoColumn, write_rows
from ..exports.span import VideoSpans, video_spans
from ..jobs.manifest import RunManifest
from ..jobs.store.durable import write_durably
from ..jobs.store.ledger import read_rows
from ..tasks.registry import record_of
from .faults import UsageFault


def export_command(
    result: Path,
    *,
    output: Path,
    format_name: str | None,
    ids: Sequence[str],
    frame_rate: str | None,
    least_score: float,
) -> tuple[list[Path], list[VideoSpans]]:
    """Write the events of a run's videos; return the files, and the videos that were not read.

    Args:
        result: The output directory of a run.
        output: A file whose suffix says the format; or, of formats that hold one video, a directory
            that gets a file for each.
        format_name: One of `FORMATS`; None: as the suffix of `output` says.
        ids: Inputs to write; empty: all.
        frame_rate: Of timecodes; None: as each video's reading says.
        least_score: Events with a smaller score are left out.

    Raises:
        UsageFault: no run, no such input, no events, or a format that cannot hold them.
    """
    format = _format(output, format_name)
    videos = _videos(result, ids, least_score)
    unread = [video for video in videos if video.status != "ok"]
    try:
        if output.suffix.lower() == format.suffix:
            text = _as_file(format, videos, output, frame_rate)
            return [_write(output, text)], unread
        return _write_each(format, videos, output, frame_rate), unread
    except (ValueError, OSError) as error:
        raise UsageFault(f"output ({output}): {error}") from error


def holds_rows(result: Path, output: Path, *, rows: bool, format_name: str | None) -> bool:
    """Whether a file is to hold the rows of a run, rather than events.

    Args:
        result: The output directory of a run.
        output: A file whose suffix says the format.
        rows: Rows were asked for.
        format_name: The format of events that was asked for.

    Raises:
        UsageFault: rows were asked for, and the file has another suffix; or there is no run.
    """
    suffix = output.suffix.lower()
    if rows and suffix not in SUFFIXES:
        raise UsageFault(f"output ({output}) must end in one of {', '.join(SUFFIXES)} to hold rows")
    if rows or format_name is not None or suffix not in SUFFIXES:
        return rows
    # A .csv holds events where there are any: its lines are theirs, and not the videos'.
    return format_of(suffix) is None or "start_seconds" not in record_of(_task(result)).columns


def export_rows(result: Path, *, output: Path, ids: Sequence[str], columns: Sequence[str]) -> int:
    """Write the rows of a run as one file, which is there as a whole or not at all.

    Args:
        result: The output directory of a run.
        output: A file, whose suffix is one of `exports.rows.SUFFIXES`.
        ids: Inputs whose rows are written; empty: all.
        columns: Those that are written; empty: all.

    Returns:
        How many rows were written.

    Raises:
        UsageFault: no run, no such input or column, or a file that cannot be written.
    """
    task, wanted, count = _task(result), set(ids), 0
    there = {row["id"] for row in read_rows(result, columns=["id"]) if row["id"] in wanted}
    if missing := [name for name in ids if name not in there]:
        raise UsageFault(f"id ({missing[0]}) is not among the results in {result}")

    def write(file: BinaryIO) -> None:
        nonlocal count
        count = write_rows(file, output.suffix.lower(), result, task, columns=columns, ids=ids)

    try:
        write_durably(output, write)
    except (NoColumn, OSError) as error:
        raise UsageFault(f"output ({output}): {error}") from error
    return count


def _task(result: Path) -> str:
    manifest = RunManifest.read(result) if result.is_dir() else None
    if manifest is None:
        raise UsageFault(f"result ({result}) must be the output directory of a run")
    return manifest.task


def _format(output: Path, name: str | None) -> Format:
    found = format_of(output.suffix) if name is None else FORMATS.get(name)
    if found is None:
        of_rows, of_events = ", ".join(SUFFIXES), ", ".join(one.suffix for one in FORMATS.values())
        raise UsageFault(
            f"output ({output}) must end in one of {of_rows} for rows, or of {of_events} for "
            f"events; or be a directory, with --format {'|'.join(FORMATS)}"
        )
    return found


def _videos(result: Path, ids: Sequence[str], least_score: float) -> list[VideoSpans]:
    task = _task(result)
    rows = [row for row in read_rows(result) if not ids or row["id"] in set(ids)]
    if missing := [name for name in ids if name not in {row["id"] for row in rows}]:
        raise UsageFault(f"id ({missing[0]}) is not among the results in {result}")
    try:
        return [video_spans(row, least_score=least_score) for row in rows]
    except ValueError as error:
        raise UsageFault(f"result ({result}), of task {task}: {error}") from error


def _as_file(
    format: Format, videos: Sequence[VideoSpans], output: Path, frame_rate: str | None
) -> str:
    if not format.holds_many and len(videos) != 1:
        raise UsageFault(
            f"output ({output}) holds the events of one video, and the run has {len(videos)}: "
            "choose one with --id, or give a directory and --format, for a file of each"
        )
    if not format.holds_many and videos[0].status == "error":
        raise UsageFault(f"id ({videos[0].id}) has no events: it was not read ({videos[0].error})")
    return written(format, videos, frame_rate=frame_rate)


def _write_each(
    format: Format, videos: Sequence[VideoSpans], folder: Path, frame_rate: str | None
) -> list[Path]:
    """A file for each video; one that could not be read has none."""
    texts = {
        name: written(format, [video], frame_rate=frame_rate)
        for name, video in zip(_names(videos), videos, strict=True)
        if video.status != "error"
    }
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder / f"{name}{format.suffix}", text) for name, text in texts.items()]


def _names(videos: Sequence[VideoSpans]) -> list[str]:
    """File names without a suffix, each once: the videos' own, their folders joined to them."""
    stems = [Path(video.id.replace("\0", "_")).stem or "video" for video in videos]
    names: dict[str, None] = {}
    for video, stem in zip(videos, stems, strict=True):
        name = stem
        if stems.count(stem) > 1:
            name = "_".join(part for part in Path(video.id).parts if part.strip("/.")) or stem
        name = name.replace(os.sep, "_")
        unique, number = name, 2
        while unique in names:
            unique, number = f"{name}_{number}", number + 1
        names[unique] = None
    return list(names)


def _write(path: Path, text: str) -> Path:
    # What a file's name could not hold in UTF-8 was escaped when the row was made.
    write_durably(path, lambda file: file.write(text.encode("utf-8", "backslashreplace")))
    return path
