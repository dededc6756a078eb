"""Labelled texts from files: tables with a text and a label column, and treebank trees."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from datasets import Dataset, Value, concatenate_datasets, load_dataset
from datasets.exceptions import DatasetsError

from ..tables.broken import row_at
from .tables import LeftOut, good_rows, table_rows
from .trees import read_trees

LONE = "\0"
"""Begins the name of a group that a row without one forms by itself."""

_TABLES = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json"}


def read_labelled_texts(
    path: str,
    text_column: str = "text",
    label_column: str = "label",
    *,
    phrases: bool = False,
    block_column: str | None = None,
    block_size: int = 100,
    group_column: str | None = None,
    blank: bool = False,
    left_out: LeftOut | None = None,
) -> Dataset:
    """Read a file of labelled texts into columns `text` and `label`, and perhaps `group`.

    Args:
        path: .parquet, .csv, .json(l), .tsv with a header, a text<TAB>label file without one, or
            .txt with the trees of the Stanford Sentiment Treebank, one a line (as SST-2: neutral
            trees are dropped, 0-1 is negative and 3-4 positive), .pos and .neg with a text of that
            label on each line or a folder of both, or .label as TREC has it, `COARSE:fine question`
            on each line.
        text_column, label_column: names in the file.
        phrases: trees only: also every labelled phrase inside them (column `whole` is false).
        block_column: a number column; rows of one label whose numbers fall into the same block of
            `block_size` form a `group` (numbers were often given film by film, say).
        group_column: a column whose values name the groups: rows of one are held out together.
        blank: allow tables to have texts that are empty, or missing (None).
        left_out: is told of rows of tables that are broken, or lack a text or a label; None: a
            file must not have such, as for a training, whose splits count its rows.

    Raises:
        ValueError: the format is not known, or a row lacks its text or its label.
    """
    if group_column is not None and (block_column or Path(path).suffix not in _TABLES):
        raise ValueError(
            f"--group_column ({group_column}) names the groups of a table (.csv, .parquet, .json "
            f"or .jsonl) without --block_column, and the file is {path}: leave it out, or give "
            "the texts as one of these"
        )
    if Path(path).is_dir():
        halves = [str(file) for end in ("neg", "pos") for file in Path(path).glob(f"*.{end}")]
        if not halves:
            raise ValueError(f"{path}: a folder must hold files that end in .neg and .pos")
        return concatenate_datasets([read_labelled_texts(half) for half in sorted(halves)])
    suffix = Path(path).suffix
    if suffix in (".pos", ".neg"):
        texts = text_lines(path)
        return Dataset.from_dict({"text": texts, "label": [int(suffix == ".pos")] * len(texts)})
    if suffix == ".label":
        return _read_questions(path)
    if suffix == ".txt":
        return read_trees(path, phrases)
    columns = text_column, label_column
    if suffix == ".tsv":
        rows, numbers = _read_tsv(path, *columns, left_out)
    else:
        rows, numbers = _read_rows(path, text_column, left_out)
        _check_columns(rows, path, text=text_column, label=label_column, block=block_column)
        _check_columns(rows, path, group=group_column)
    rows = _complete(rows, numbers, path, columns, blank, left_out)
    names = None if group_column is None else list(rows[group_column])
    rows = _labelled(rows, columns, block_column, block_size)
    if names is None:
        return rows
    groups = [f"{LONE}{k}" if name is None else str(name) for k, name in enumerate(names)]
    return rows.add_column("group", groups)


def read_texts(path: str, text_column: str = "text") -> list[str]:
    """The texts of such a file, with labels or without.

    Args:
        path: as of `read_labelled_texts`.
        text_column: of tables; where they have none of that name it is `text`, and in a .tsv
            without a header the first.
    """
    suffix = Path(path).suffix
    if suffix == ".tsv":
        lines = _tsv_lines(path)
        header = lines[0][1]
        names = [name for name in (text_column, "text") if name in header]
        column = header.index(names[0]) if names else 0
        return [_cell(path, k, line, column) for k, line in enumerate(lines[bool(names) :], 1)]
    if suffix in _TABLES:
        rows = _read_table(path)
        column_name = text_column if text_column in rows.column_names else "text"
        _check_columns(rows, path, text=column_name)
        rows = _with_own_texts(rows, path, column_name)
        return [text for text in rows[column_name] if text is not None]
    return read_labelled_texts(path)["text"]


def column_names(path: str) -> list[str]:
    """The columns of a table (.csv, .parquet, .json or .jsonl); of other files none."""
    return _read_table(path).column_names if Path(path).suffix in _TABLES else []


def text_lines(path: str) -> list[str]:
    """The lines of a file without what surrounds them, but for blank ones."""
    return [line for _, line in _numbered_lines(path)]


def _numbered_lines(path: str) -> Iterator[tuple[int, str]]:
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _read_table(path: str, text_column: str = "text") -> Dataset:
    kind = _TABLES.get(Path(path).suffix)
    if kind is None:
        raise ValueError(
            f"{path}: the suffix must be .parquet, .csv, .tsv, .json, .jsonl, .txt, "
            ".pos, .neg or .label"
        )
    try:
        return load_dataset(kind, data_files=path, split="train")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: there is no such file") from error
    except (DatasetsError, ValueError) as error:
        if kind == "csv" and not table_rows(path, text_column):  # says which line is broken
            raise ValueError(f"{path} must hold rows, and has only a header") from error
        cause = error.__cause__ or error
        raise ValueError(f"{path} must be a table of rows ({kind}): {cause}") from error


def _read_rows(
    path: str, text_column: str, left_out: LeftOut | None
) -> tuple[Dataset, Sequence[int]]:
    """The rows of a table, with the texts that `temporal run` reads, and their numbers."""
    try:
        rows = _with_own_texts(_read_table(path, text_column), path, text_column)
        return rows, range(1, len(rows) + 1)
    except ValueError:
        if left_out is None or Path(path).suffix == ".parquet":
            raise
        told = len(left_out)
        good = good_rows(path, text_column, left_out)
        if not good:
            del left_out[told:]
            raise
    names = dict.fromkeys(chain(*good.values()))
    columns = {name: _of_one_type([row.get(name) for row in good.values()]) for name in names}
    return Dataset.from_dict(columns), list(good)


def _of_one_type(values: list[Any]) -> list[Any]:
    """A column as Arrow can have it: where its values have several types, as strings."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2 and not kinds & {list, dict}:
        return values
    return [None if value is None else str(value) for value in values]


def _check_columns(rows: Dataset, path: str, **columns: str | None) -> None:
    for option, name in columns.items():
        if name is not None and name not in rows.column_names:
            raise ValueError(
                f"{path} has the columns {rows.column_names}, and no {name!r}: name one of them "
                f"by --{option}_column"
            )


def _with_own_texts(rows: Dataset, path: str, text_column: str) -> Dataset:
    """A CSV file's rows with the texts that `temporal run` reads, None for an empty one.

    `datasets` takes "NA" for nothing, and stray or escaped quotes for what runs rows together.

    Raises:
        ValueError: it lost rows, or one is broken.
    """
    if Path(path).suffix != ".csv" or text_column not in rows.column_names:
        return rows
    texts = [row[text_column] or None for row in table_rows(path, text_column)]
    if len(texts) != len(rows):
        raise ValueError(
            f"{path} has {len(texts)} rows, and {len(rows)} were read: quotes in it are not in "
            "pairs; write it again, with quotes doubled inside of quoted texts"
        )
    if not texts:
        return rows
    own = f"{text_column} (own)"
    return rows.add_column(own, texts).remove_columns(text_column).rename_column(own, text_column)


def _complete(
    rows: Dataset,
    numbers: Sequence[int],
    path: str,
    columns: tuple[str, str],
    blank: bool,
    left_out: LeftOut | None,
) -> Dataset:
    """The rows that have a label and, unless it may be blank, a text."""
    text_column, label_column = columns
    kept = []
    for k, (text, label) in enumerate(zip(rows[text_column], rows[label_column], strict=True)):
        has_text = blank or (isinstance(text, str) and text.strip())
        lacks = None if has_text else text_column
        if label is None or label != label or label == "":  # NaN is not itself
            lacks = label_column
        if lacks is None:
            kept.append(k)
        elif left_out is not None:
            left_out.append((f"{path}, row {numbers[k]}", f"{lacks!r} is empty"))
        else:
            raise ValueError(
                f"{path}, row {numbers[k]} (the first below a header is 1): {lacks!r} must not be "
                "empty; fill it, or leave the row out"
            )
    return rows if len(kept) == len(rows) else rows.select(kept)


def _labelled(
    rows: Dataset, columns: tuple[str, str], block_column: str | None, block_size: int
) -> Dataset:
    """A table's texts and labels, under these names, and perhaps groups."""
    text_column, label_column = columns
    labels = rows[label_column]
    groups = None
    if block_column is not None:
        groups = [
            f"{label} {number // block_size}"
            for label, number in zip(labels, rows[block_column], strict=True)
        ]
    rows = rows.select_columns([text_column, label_column])
    if groups is not None:
        rows = rows.add_column("group", groups)
    if isinstance(labels[0] if len(rows) else None, int):
        rows = rows.cast_column(label_column, Value("int64"))  # files differ; tables must agree
    return rows.rename_columns(
        {old: new for old, new in ((text_column, "text"), (label_column, "label")) if old != new}
    )


def _tsv_lines(path: str) -> list[tuple[int, list[str]]]:
    """Cells of the lines that are not empty, each with its number in the file."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        lines = [(reader.line_num, cells) for cells in reader if cells]
    if not lines:
        raise ValueError(f"{path} is empty, and must hold lines of text<TAB>label")
    return lines


def _cell(path: str, row: int, line: tuple[int, list[str]], column: int) -> str:
    number, cells = line
    if column >= len(cells):
        raise ValueError(
            f"{path}, {row_at(row, number)} has {len(cells)} of the columns that a tab separates, "
            f"and must have at least {column + 1}: separate text and label by a tab"
        )
    return cells[column]


def _read_tsv(
    path: str, text_column: str, label_column: str, left_out: LeftOut | None
) -> tuple[Dataset, Sequence[int]]:
    lines = _tsv_lines(path)
    header = lines[0][1]
    text, label = 0, 1
    if text_column in header and label_column in header:
        text, label = header.index(text_column), header.index(label_column)
        lines = lines[1:]
    elif header[0] == label_column:
        text, label, lines = 1, 0, lines[1:]
    numbers: Sequence[int] = range(1, len(lines) + 1)
    if left_out is not None:
        wide = max(text, label) + 1
        left_out += [
            (f"{path}, {row_at(row, number)}", "it lacks a text or a label")
            for row, (number, cells) in enumerate(lines, 1)
            if len(cells) < wide
        ]
        numbers = [row for row, (_, cells) in enumerate(lines, 1) if len(cells) >= wide]
        lines = [lines[row - 1] for row in numbers]
    labels: list[Any] = [_cell(path, row, line, label) for row, line in enumerate(lines, 1)]
    if all(value.isdigit() for value in labels):
        labels = [int(value) for value in labels]  # ids instead of names
    texts = [_cell(path, row, line, text) for row, line in enumerate(lines, 1)]
    return Dataset.from_dict({text_column: texts, label_column: labels}), numbers


def _read_questions(path: str) -> Dataset:
    texts, labels = [], []
    for number, line in _numbered_lines(path):
        label, text = (*line.split(maxsplit=1), "")[:2]
        if not text:
            raise ValueError(f"{path}, line {number} must be `COARSE:fine question`: {line[:40]!r}")
        texts.append(text)
        labels.append(label.partition(":")[0])
    return Dataset.from_dict({"text": texts, "label": labels})
