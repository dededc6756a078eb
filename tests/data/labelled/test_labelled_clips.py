"""Manifests, folds with whole groups, and figures worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from temporal.data.labelled.clips import hold_out_clips
from temporal.data.labelled.groups import grouped_folds, joined
from temporal.data.labelled.listed_clips import list_clips
from temporal.training.accuracy import balanced_accuracy, interval


def test_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text(
        "path,label,group,camera\nclips/a.mp4,open,s1,north\nclips/b.mp4,closed,s2,south\n"
    )
    found = list_clips(tmp_path)
    clips, names = found.clips, found.names
    assert names == ["closed", "open"]
    assert [(c.label, c.group, c.camera) for c in clips] == [(1, "s1", "north"), (0, "s2", "south")]
    assert clips[0].path == str((tmp_path / "clips/a.mp4").resolve())


def test_a_row_of_a_manifest_that_is_broken_is_told_and_costs_no_other(tmp_path: Path) -> None:
    rows = [f"{k}.mp4,{'xy'[k % 2]},s{k}" for k in range(20)]
    (tmp_path / "groups.csv").write_text("\ufeffpath,label,group\n" + "\n".join(rows) + "\n")
    assert len(list_clips(tmp_path).clips) == 20
    rows[3], rows[9] = f'"{rows[3]}', f'{rows[9]}"'
    (tmp_path / "groups.csv").write_text("path,label,group\n" + "\n".join(rows) + "\n")
    found = list_clips(tmp_path)
    lost = [k for k in range(20) if all(Path(c.path).name != f"{k}.mp4" for c in found.clips)]
    assert lost == [3, 9]
    told = list(found.left_out.values())
    assert len(told) == 2 and "groups.csv, row 4 (line 5): a quote opens here" in told[0]


def test_a_manifest_without_cameras(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label,group\na.mp4,x,1\n")
    clips = list_clips(tmp_path, manifest="list.csv").clips
    assert clips[0].camera == ""


@pytest.mark.parametrize("seed", range(4))
def test_folds_keep_groups_whole_and_classes_even(seed: int) -> None:
    # Eight groups of three clips, four of each class: two folds get two groups of each class.
    groups = [f"g{k // 3}" for k in range(24)]
    labels = [k // 3 % 2 for k in range(24)]
    folds = grouped_folds(labels, groups, 2, seed)
    assert sorted(row for fold in folds for row in fold) == list(range(24))
    assert {groups[r] for r in folds[0]}.isdisjoint({groups[r] for r in folds[1]})
    assert [sum(labels[row] for row in fold) for fold in folds] == [6, 6]
    assert [len(fold) for fold in folds] == [12, 12]
    assert all(fold == sorted(fold) for fold in folds)
    assert folds == grouped_folds(labels, groups, 2, seed)


def test_the_largest_group_gets_a_fold_of_its_own() -> None:
    groups = ["big"] * 4 + ["a", "b", "c", "d"]
    folds = grouped_folds([0] * 8, groups, 2, 0)
    assert sorted(folds) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_more_folds_than_groups_is_refused() -> None:
    with pytest.raises(ValueError, match=r"num_folds \(3\) must be <= the number of groups 2"):
        grouped_folds([0, 1], ["a", "b"], 3, 0)


def test_balanced_accuracy_by_hand() -> None:
    # Class 0: 3 of 4 right; class 1: 1 of 2.
    assert balanced_accuracy([0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1]) == 0.625


def test_a_wilson_interval_by_hand() -> None:
    # 8 of 10: the textbook interval is 0.490 to 0.943.
    low, high = interval(0.8, 10)
    assert (low, high) == (pytest.approx(0.490, abs=1e-3), pytest.approx(0.943, abs=1e-3))
    assert interval(1.0, 10)[1] == pytest.approx(1.0)


def test_groups_that_hold_copies_of_a_file_are_one() -> None:
    #                        copies: 1 in a and b, 2 in b and c; the last two have no group
    groups = ["a", "b", "b", "c", "d", "", ""]
    digests = [1, 1, 2, 2, 3, 4, 5]
    found = joined(groups, digests)
    assert found[:4] == ["a"] * 4 and found[4] == "d" and len(set(found[4:])) == 3


@pytest.mark.parametrize("seed", range(3))
def test_copies_and_groups_of_clips_are_held_out_together(tmp_path: Path, seed: int) -> None:
    rows = ["path,label,group"]
    for k in range(20):  # clips 2k and 2k+1 share a group; 0, 5, 10 and 15 are copies
        (tmp_path / f"{k}.mp4").write_text("copy" if k % 5 == 0 else str(k))
        rows.append(f"{k}.mp4,x,g{k // 2}")
    (tmp_path / "groups.csv").write_text("\n".join(rows) + "\n")
    clips = list_clips(tmp_path).clips
    rest, held = hold_out_clips(clips, 0.4, seed)
    assert sorted(clip.path for clip in (*rest, *held)) == sorted(clip.path for clip in clips)
    assert rest and held
    assert {clip.group for clip in rest}.isdisjoint({clip.group for clip in held})
    assert {clip.digest for clip in rest}.isdisjoint({clip.digest for clip in held})
    assert hold_out_clips(clips, 0.4, seed)[1] == held
