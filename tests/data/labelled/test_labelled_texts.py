"""Parsing labelled texts, by hand, and splits that keep groups together."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset

from temporal.data import collect
from temporal.data.labelled.files import read_labelled_texts, read_texts
from temporal.data.labelled.splits import hold_out
from temporal.pipelines.training.text_data import DataArguments, load_data


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_trees_as_sst2(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "trees.txt",
        "(4 (2 A) (3 (3 good) (2 film)))\n(2 (2 It) (2 ends))\n(0 (1 bad) (2 -LRB-))\n",
    )
    rows = read_labelled_texts(path)
    # The second is neutral and dropped; brackets are written out.
    assert rows["text"] == ["A good film", "bad ("]
    assert rows["label"] == [1, 0]
    assert rows["group"] == [0, 2]


def test_phrases_of_trees_share_their_sentences_group(tmp_path: Path) -> None:
    path = write(tmp_path, "trees.txt", "(4 (2 A) (3 (3 good) (2 film)))\n(0 (1 bad) (2 it))\n")
    rows = read_labelled_texts(path, phrases=True)
    assert list(zip(rows["text"], rows["label"], rows["group"], rows["whole"], strict=True)) == [
        ("good", 1, 0, False),
        ("good film", 1, 0, False),
        ("A good film", 1, 0, True),
        ("bad", 0, 1, False),
        ("bad it", 0, 1, True),
    ]


def test_one_label_a_file(tmp_path: Path) -> None:
    assert read_labelled_texts(write(tmp_path, "a.pos", "fine\n\n  great \n")).to_dict() == {
        "text": ["fine", "great"],
        "label": [1, 1],
    }
    assert read_labelled_texts(write(tmp_path, "a.neg", "poor\n"))["label"] == [0]


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ('text\tlabel\na b\t1\nsay "no\t0\n', [1, 0]),  # with a header
        ('label\ttext\n1\ta b\n0\tsay "no\n', [1, 0]),
        ('a b\t1\nsay "no\t0\n', [1, 0]),  # without one
        ('a b\tpos\nsay "no\tneg\n', ["pos", "neg"]),
    ],
)
def test_tab_separated(tmp_path: Path, content: str, labels: list[int | str]) -> None:
    rows = read_labelled_texts(write(tmp_path, "a.tsv", content))
    assert (rows["text"], rows["label"]) == (["a b", 'say "no'], labels)


def test_csv_with_other_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "review,stars,extra\ngood,1,x\nbad,0,y\n")
    rows = read_labelled_texts(path, "review", "stars")
    assert rows.to_dict() == {"text": ["good", "bad"], "label": [1, 0]}


def test_a_stray_quote_loses_no_rows_without_a_word(tmp_path: Path) -> None:
    lines = [f"review {k},{k % 2}" for k in range(40)]
    lines[3], lines[30] = '"Great movie,1', 'So they say",0'
    (tmp_path / "a.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    with pytest.raises(
        ValueError, match=r"a.csv, row 4 \(line 5\): a quote opens here and closes at line 32"
    ):
        read_labelled_texts(str(tmp_path / "a.csv"))
    with pytest.raises(ValueError, match=r"a.csv, row 4 \(line 5\)"):
        read_texts(str(tmp_path / "a.csv"))


def test_texts_are_those_that_a_run_reads(tmp_path: Path) -> None:
    texts = ["NA", "null", 'so "it" is', "12", "two\nlines"]
    lines = ['"' + text.replace('"', '\\"') + f'",{k % 2}' for k, text in enumerate(texts)]
    (tmp_path / "a.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    rows = read_labelled_texts(str(tmp_path / "a.csv"))
    assert (list(rows["text"]), list(rows["label"])) == (texts, [0, 1, 0, 1, 0])
    assert [item.value for item in collect(tmp_path / "a.csv", kind="text")] == texts


def test_numbers_fall_into_blocks_of_one_label(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label,number\na,1,0\nb,1,99\nc,1,100\nd,0,99\n")
    rows = read_labelled_texts(path, block_column="number", block_size=100)
    assert rows["group"] == ["1 0", "1 0", "1 1", "0 0"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\na,1\n,0\n", r"a\.csv, row 2 .*'text' must not be empty"),
        ("a.csv", "text,label\na,1\nb,\n", r"a\.csv, row 2 .*'label' must not be empty"),
        ("a.csv", "words,label\na,1\n", r"has the columns .* no 'text': .* by --text_column"),
        ("a.jsonl", '{"text": "a", "label": null}\n', r"row 1 .*'label' must not be empty"),
        ("a.tsv", "", r"a\.tsv is empty"),
        ("a.tsv", "a b\t1\n\nc d\n", r"a\.tsv, row 2 \(line 3\) has 1 of the columns"),
        ("a.tsv", "a b\t1\n \t0\n", r"a\.tsv, row 2 .*'text' must not be empty"),
        ("a.txt", "(3 (2 a) (4 b))\na film\n", r"a\.txt, line 2 must be a tree"),
        ("a.txt", "(3 (2 a) (4 b)\n", r"a\.txt, line 1 must be a tree"),
        ("a.txt", "(3 (2 a) (4))\n", r"a\.txt, line 1 must be a tree"),
        ("a.label", "NUM:dist How far ?\nNUM:dist\n", r"a\.label, line 2 must be `COARSE:fine"),
    ],
)
def test_what_is_missing_is_named_with_its_place(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_labelled_texts(write(tmp_path, name, content))


def test_texts_may_be_blank_where_that_is_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\na,1\n,0\n")
    assert read_labelled_texts(path, blank=True)["text"] == ["a", None]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("left.csv", "sentence\ngood film\n"),
        ("left.csv", "text,label\ngood film,1\n"),
        ("left.tsv", "sentence\ngood film\n"),
        ("left.tsv", "index\tsentence\n1\tgood film\n"),
        ("left.tsv", "good film\t1\n"),
        ("left.txt", "(4 (3 good) (2 film))\n"),
    ],
)
def test_what_is_left_out_needs_no_label(tmp_path: Path, name: str, content: str) -> None:
    train = write(tmp_path, "train.csv", "sentence,label\nFilm,1\na,0\nb,1\nc,0\n")
    dev = write(tmp_path, "dev.csv", "sentence,label\na,1\nb,0\n")
    args = DataArguments(
        train_file=train,
        validation_file=dev,
        text_column="sentence",
        leave_out_file=write(tmp_path, name, content),
    )
    assert load_data(args, 0)[0]["text"] == ["a", "b", "c"]


@pytest.mark.parametrize("share", ["calibration_share", None])
def test_what_is_held_out_of_one_block_is_not_trained_on_in_another(
    tmp_path: Path, share: str | None
) -> None:
    lines = [f"t{k // 2},{k % 2},{100 * (k // 2 + 50 * (k % 2))}" for k in range(80)]
    lines += [f"own{k},{k % 2},{100 * (k // 2)}" for k in range(80)]
    path = write(tmp_path, "a.csv", "\n".join(["text,label,number", *lines]) + "\n")
    shares = {share: 0.3} if share else {}
    args = DataArguments(train_file=path, block_column="number", **shares)
    train, validation = load_data(args, 0)
    rows = read_labelled_texts(path, block_column="number")
    rest, held = rows, []
    if share:
        rest, held = hold_out(rows, 0.3, 0)
    rest, expected = hold_out(rest, 0.1, 0)
    assert validation["text"] == expected["text"]  # the split is as it was
    seen = {*expected["text"], *(held["text"] if share else [])}
    assert seen & set(rest["text"]) and not seen & set(train["text"])
    assert set(train["text"]) == set(rest["text"]) - seen


def test_a_label_only_in_validation_is_refused(tmp_path: Path) -> None:
    train = write(tmp_path, "train.csv", "text,label\na,pos\nb,neg\n")
    dev = write(tmp_path, "dev.csv", "text,label\nc,pos\nd,Neg\n")
    args = DataArguments(train_file=train, validation_file=dev)
    with pytest.raises(ValueError, match=r"labels \['Neg'\] occur in .*dev.csv"):
        load_data(args, 0)


def test_as_many_probabilities_as_labels(tmp_path: Path) -> None:
    train = tmp_path / "soft.parquet"
    Dataset.from_dict({"text": ["a"], "label": [[0.1, 0.2, 0.7]]}).to_parquet(train)
    dev = write(tmp_path, "dev.csv", "text,label\nc,pos\nd,neg\n")
    args = DataArguments(train_file=str(train), validation_file=dev)
    with pytest.raises(ValueError, match="has 3 class probabilities a text"):
        load_data(args, 0)


def test_an_unknown_suffix_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.docx: the suffix must be"):
        read_labelled_texts(str(tmp_path / "a.docx"))


@pytest.mark.parametrize("seed", range(3))
def test_hold_out_keeps_groups_on_one_side(seed: int) -> None:
    groups = [k // 3 for k in range(30)]
    rows = Dataset.from_dict({"text": [str(k) for k in range(30)], "group": groups})
    rest, held = hold_out(rows, 0.2, seed)
    assert set(rest["group"]).isdisjoint(held["group"])
    assert (len(rest), len(held)) == (24, 6)  # two of the ten groups
    assert sorted([*rest["text"], *held["text"]], key=int) == rows["text"]
    assert hold_out(rows, 0.2, seed)[1]["text"] == held["text"]


def test_hold_out_keeps_equal_texts_on_one_side() -> None:
    rows = Dataset.from_dict({"text": ["a", "b", "a", "c", "b"]})
    rest, held = hold_out(rows, 0.4, 0)
    assert set(rest["text"]).isdisjoint(held["text"]) and len(set(held["text"])) == 1


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_hold_out_takes_a_share(share: float) -> None:
    with pytest.raises(ValueError, match=r"share \(.*\) must be between 0 and 1"):
        hold_out(Dataset.from_dict({"text": ["a"]}), share, 0)


def test_questions_have_the_coarse_label(tmp_path: Path) -> None:
    path = write(tmp_path, "q.label", "NUM:dist How far is it ?\nLOC:city What is it called ?\n")
    rows = read_labelled_texts(path)
    assert rows["text"] == ["How far is it ?", "What is it called ?"]
    assert rows["label"] == ["NUM", "LOC"]


def test_a_folder_of_halves_is_both(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must hold files that end in .neg and .pos"):
        read_labelled_texts(str(tmp_path))
    write(tmp_path, "a.pos", "good\nfine\n")
    write(tmp_path, "a.neg", "bad\n")
    rows = read_labelled_texts(str(tmp_path))
    assert dict(zip(rows["text"], rows["label"], strict=True)) == {"bad": 0, "good": 1, "fine": 1}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            b"text,label\nfine,1\na,b,0\n",
            r"a\.csv, row 2 \(line 3\): 3 fields where 2",
        ),
        ("a.csv", b"", r"a\.csv: it is empty"),
        ("a.csv", b"text,label\n", r"a\.csv must hold rows, and has only a header"),
        (
            "a.csv",
            "text,label\né,1\n".encode("latin-1"),
            r"a\.csv, row 1 \(line 2\): .* cannot be decoded",
        ),
        ("a.jsonl", b'{"text": "a", "label": 1}\n{no\n', r"a\.jsonl must be a table .* in row 1"),
        ("a.parquet", b"nothing" * 20, r"a\.parquet must be a table of rows \(parquet\)"),
    ],
)
def test_what_is_no_table_is_told_where_it_breaks(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_labelled_texts(str(tmp_path / name))
