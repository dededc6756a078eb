"""`temporal show`: readings of a finished (or running) job, in the terminal and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rich.text import Text

from ..display.report import legend, print_all, reading_panel
from ..jobs.manifest import RunManifest
from ..jobs.store.ledger import read_rows
from ..tasks.registry import RECORDS
from .faults import UsageFault


def show_command(result: Path, *, ids: Sequence[str], output: Path | None, limit: int) -> None:
    """Print readings, and write their picture where `output` is given.

    Args:
        result: The output directory of a run.
        ids: Inputs to show; empty: the first `limit` that were read.
        output: A PNG to write.
        limit: The most readings shown without `ids`.

    Raises:
        UsageFault: no run, no such input, nothing that was read, or no PNG.
    """
    if output is not None and output.suffix.lower() != ".png":
        raise UsageFault(f"output ({output}) must end in .png")
    manifest = RunManifest.read(result) if result.is_dir() else None
    if manifest is None:
        raise UsageFault(f"result ({result}) must be the output directory of a run")
    rows = _chosen(result, ids, limit)
    print_all(legend(), *(reading_panel(row) for row in rows))
    if output is None:
        return
    # matplotlib takes a second to import; the terminal view needs none of it.
    from ..display.picture import save_picture

    try:
        heading = f"{manifest.task}  ·  {Path(manifest.model).name}"
        record = RECORDS.get(manifest.task)
        draw = record.find("picture") if record is not None else None
        save_picture(rows, output, heading=heading, draw=draw)
    except (ValueError, OSError) as error:
        raise UsageFault(f"output ({output}): {error}") from error
    print_all(Text(f"picture: {output}"))


def _chosen(result: Path, ids: Sequence[str], limit: int) -> list[dict[str, Any]]:
    rows = read_rows(result)
    if not ids:
        chosen = list(islice((row for row in rows if row["status"] == "ok"), limit))
        if not chosen:
            raise UsageFault(f"result ({result}) holds no input that was read; name one with --id")
        return chosen
    found = {row["id"]: row for row in rows if row["id"] in set(ids)}
    if missing := [name for name in ids if name not in found]:
        raise UsageFault(f"id ({missing[0]}) is not among the results in {result}")
    return [found[name] for name in ids]
