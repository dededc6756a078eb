"""What is said of rows beside a reader's record."""

from __future__ import annotations

from pathlib import Path

import pytest

from temporal.models.rows_seen import RowsSeen, Shown
from temporal.pipelines.held_out.unseen import NotNew, Rows, keep_unseen


def test_rows_that_a_record_does_not_list_are_told_and_no_other_is_let_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = RowsSeen(shown={"training": Shown(rows=frozenset({1, 2, 3}))})
    seen.listing(frozenset({1, 2}), ["phrases", "chunks"]).save(tmp_path)
    model = str(tmp_path)
    found = keep_unseen(model, Rows(source="new.csv", rows=[3, 4]))
    assert found.kept == [0, 1] and found.report["trained_on"] == 0  # 3 cannot be known ...
    (told,) = found.report["not_known"]  # ... and that is said
    assert "2 rows of new.csv" in told and "phrases; chunks" in told
    assert told in capsys.readouterr().err
    with pytest.raises(NotNew, match="1 of 2 rows of old.csv were trained on"):
        keep_unseen(model, Rows(source="old.csv", rows=[2, 4]))
