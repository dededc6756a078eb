"""Rows that a reader has seen are refused by an exception that a library may raise."""

from __future__ import annotations

from pathlib import Path

import pytest

from temporal.data.labelled.digests import digest_bytes, digest_file, digest_text
from temporal.models.rows_seen import RowsSeen, Shown
from temporal.pipelines.command.faults import ended_by
from temporal.pipelines.held_out.rows import class_numbers
from temporal.pipelines.held_out.unseen import NotNew, Rows, digest_input, keep_unseen


def test_it_is_a_value_error_and_a_scripts_exit(tmp_path: Path) -> None:
    shown = Shown(rows=frozenset([1, 2]))
    RowsSeen(shown={"training": shown}).save(tmp_path)
    rows = Rows(source="dev.csv", rows=[1, 2, 3])
    with pytest.raises(ValueError, match="2 of 3 rows of dev.csv were trained on") as refused:
        keep_unseen(str(tmp_path), rows)
    assert refused.type is NotNew
    assert keep_unseen(str(tmp_path), rows, leave_out=True).kept == [2]
    with pytest.raises(NotNew, match="none is left: give other data"):
        keep_unseen(str(tmp_path), rows.take([0, 1]), leave_out=True)
    with pytest.raises(SystemExit, match="2 of 3 rows"), ended_by(NotNew):
        keep_unseen(str(tmp_path), rows)
    with pytest.raises(KeyError), ended_by(NotNew):
        raise KeyError("another fault")


def test_an_input_is_known_by_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"frames")
    assert digest_input(str(file), "video") == digest_file(file) == digest_bytes(b"frames")
    assert digest_input(b"frames", "video") == digest_file(file)
    assert digest_input("https://a/b.mp4", "video") == digest_text("https://a/b.mp4")
    assert digest_input(str(file), "text") == digest_text(str(file))
    assert digest_input({"text": "a", "text_pair": "b"}, "text") == digest_text("a\nb")


def test_labels_are_names_in_any_case_or_numbers() -> None:
    names = {"négatif": 0, "positif": 1}
    labels = ["NÉGATIF", " positif ", "1", 0, 1.0, "négatif", "ne\u0301gatif"]
    assert class_numbers(labels, names) == [0, 1, 1, 0, 1, 0, 0]
    with pytest.raises(ValueError, match=r"labels \['2', 'neutre'\] must be among the reader's"):
        class_numbers(["neutre", 2, "positif"], names)
