"""The same clips from a folder, a table, archives and datasets: the same training, bit for bit."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from temporal.data.loading.hub import StreamedClips
from temporal.pipelines.training.video import reading
from temporal.pipelines.training.video.data import PixelClips

from .small_clips import CLASSES, save_config, write_clip

Run = Callable[..., dict[str, Any]]
SPLITS = (("test", 4), ("train", 12), ("validation", 4))
GATE = ("--reader_options", json.dumps({"gate": True}), "--num_frames", 3, "--order", "uniform")
QUICK = ("--use_cpu", "--disable_tqdm", "true", "--learning_rate", 2e-2, "--num_train_epochs", 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips in folders of splits and classes; one is no video."""
    top = tmp_path_factory.mktemp("sources")
    save_config(top)
    seed = 0
    for split, count in SPLITS:
        for k in range(count):
            place = top / "clips" / split / CLASSES[k * 2 // count]
            place.mkdir(parents=True, exist_ok=True)
            write_clip(place / f"{k:02d}.mp4", rising=k * 2 >= count, seed=(seed := seed + 1))
    (top / "clips" / "train" / "falling" / "broken.mp4").write_bytes(b"no video")
    return top


def rows(folder: Path) -> list[dict[str, str]]:
    """The clips in the order of the folder."""
    paths = sorted((folder / "clips").rglob("*.mp4"))
    return [{"path": str(p), "label": p.parent.name, "split": p.parent.parent.name} for p in paths]


def with_bytes(folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "video": {"bytes": Path(row["path"]).read_bytes(), "path": Path(row["path"]).name},
            "label": row["label"],
            "split": row["split"],
        }
        for row in rows(folder)
    ]


FEATURES = datasets.Features(
    {
        "video": datasets.Video(),
        "label": datasets.Value("string"),
        "split": datasets.Value("string"),
    }
)


def write_archives(folder: Path, out: Path) -> None:
    for number, row in enumerate(rows(folder)):
        with tarfile.open(out / f"clips-{number // 9:03d}.tar", "a") as archive:
            told = json.dumps({"label": row["label"], "split": row["split"]}).encode()
            for suffix, content in (("mp4", Path(row["path"]).read_bytes()), ("json", told)):
                info = tarfile.TarInfo(f"{number:04d}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def made(kind: str, folder: Path, out: Path) -> tuple[object, ...]:
    """The options that name the same clips as a source of this kind."""
    if kind == "csv":
        lines = ["path,label,split", *(",".join(row.values()) for row in rows(folder))]
        (out / "clips.csv").write_text("\n".join(lines))
        return ("--data_dir", out / "clips.csv")
    if kind == "archives":
        write_archives(folder, out)
        return ("--data_dir", out / "clips-{000..002}.tar")
    table = datasets.Dataset.from_list(with_bytes(folder), features=FEATURES)
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(with_bytes(folder)), out / "clips.parquet")
        return ("--data_dir", out / "clips.parquet")
    if kind == "hub":  # as a repository of parquet files has them
        names = table["split"]
        for split, _ in SPLITS:
            part = table.select([k for k, name in enumerate(names) if name == split])
            part.remove_columns("split").to_parquet(out / f"{split}-00000-of-00001.parquet")
        return ("--dataset_name", out, "--streaming")
    table.save_to_disk(out / "saved", num_shards=3)
    stream = ("--streaming",) if kind == "stream" else ()
    return ("--data_dir", out / "saved", *stream)


@pytest.fixture(scope="module")
def of_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize("kind", ["csv", "archives", "parquet", "saved", "stream", "hub"])
def test_any_source_gives_the_result_of_the_folder(
    kind: str, folder: Path, tmp_path: Path, run_script: Run, of_folder: dict[str, Any]
) -> None:
    backbone = ("--backbone", folder / "config.json", *QUICK, *GATE)
    cache = folder / "features"
    if not of_folder:
        out = tmp_path / "folder"
        given = ("--data_dir", folder / "clips", "--output_dir", out, "--cache_dir", cache)
        of_folder["result"] = run_script("finetune_video", *given, *backbone)
        of_folder["weights"] = load_file(out / "final" / "model.safetensors")
    source = tmp_path / "source"
    source.mkdir()
    out = tmp_path / kind
    given = (*made(kind, folder, source), "--output_dir", out, "--cache_dir", tmp_path / "cache")
    result = run_script("finetune_video", *given, *backbone)
    for split in ("validation", "test"):
        assert result[split] == of_folder["result"][split]
    assert len(result["left_out"]) == 1
    torch.testing.assert_close(
        load_file(out / "final" / "model.safetensors"), of_folder["weights"], rtol=0, atol=0
    )
    # What was kept is known by the content of a clip, wherever it lies.
    files = [sorted(p.name for p in place.rglob("*.safetensors")) for place in
             (cache, tmp_path / "cache")]  # fmt: skip
    assert files[0] == files[1] and len(files[0]) == 20


def test_pixels_of_a_stream_are_trained_on_in_one_pass_an_epoch(
    folder: Path, tmp_path: Path, run_script: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each clip once an epoch, in another order, and no more than a block of them is held."""
    monkeypatch.setattr(reading, "_HELD", 5)
    begun, trained = [], []
    walk, item = StreamedClips.walk, PixelClips._item

    def watched_walk(clips: Any, *args: Any) -> Any:
        begun.append(None)
        return walk(clips, *args)

    def watched_item(clips: Any, k: int, varied: Any) -> Any:
        if varied is not None:
            reel = clips.clips[k].place.rows
            assert len(reel._held) <= 5
            trained.append(clips.clips[k].place.number)
        return item(clips, k, varied)

    monkeypatch.setattr(StreamedClips, "walk", watched_walk)
    monkeypatch.setattr(PixelClips, "_item", watched_item)
    source = tmp_path / "source"
    source.mkdir()
    result = run_script(
        "finetune_video",
        *(*made("stream", folder, source), "--backbone", folder / "config.json", *QUICK),
        *("--output_dir", tmp_path / "out", "--unfreeze", "last:1", "--num_frames", 2),
        *("--per_device_train_batch_size", 4, "--eval_split", "test", "--eval_strategy", "no"),
        *("--save_strategy", "no"),
    )
    assert result["test"]["clips"] == 4
    order = [row["split"] for row in rows(folder)]
    learned = [number for number, split in enumerate(order) if split == "train"]
    learned.remove(10)  # it is broken
    epochs = [trained[k : k + 12] for k in (12, 24)]  # after the reader's statistics
    assert [sorted(one) for one in epochs] == [learned, learned] and len(trained) == 36
    assert epochs[0] != epochs[1]
    for one in epochs:  # block after block
        assert [k // 5 for k in one] == sorted(k // 5 for k in one)
    # Listed, tried, two epochs, and statistics, answers and uniform frames: none for each clip.
    assert len(begun) <= 8
