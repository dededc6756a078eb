"""Videos are found by words: what is in the index, what is read once more, what is counted."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import av
import datasets
import numpy as np
import pandas
import pytest
import torch
import transformers
from PIL import Image
from typer.testing import CliRunner

from temporal.data import Video
from temporal.pipelines import OutputRefused, VideoSearch
from temporal.pipelines.command.cli import app
from temporal.pipelines.search.nearest import has_faiss, nearest
from temporal.pipelines.search.refining import window_around

from ..tasks.zero_shot_families import balance, pattern, save

QUERY = "two dogs at night"
READ: dict[str, Any] = {"num_frames": 6, "num_embeddings": 3, "every_seconds": 1000.0}


def write(path: Path, scenes: list[int], frames_each: int = 10) -> None:
    """A video of scenes, each some frames of one pattern, ten frames a second."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 40, "bgr0"
        for scene in scenes:
            for _ in range(frames_each):
                frame = av.VideoFrame.from_ndarray(pattern(scene), format="rgb24")
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


@pytest.fixture(scope="module")
def clip_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return balance(save("CLIP", str(tmp_path_factory.mktemp("model"))))


@pytest.fixture(scope="module")
def scores(clip_model: str) -> dict[int, float]:
    """How well each pattern fits the query, by transformers alone."""
    model = transformers.CLIPModel.from_pretrained(clip_model).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(clip_model)([QUERY], return_tensors="pt")
    processor = transformers.CLIPImageProcessorPil.from_pretrained(clip_model)
    images = processor([Image.fromarray(pattern(k)) for k in range(30)], return_tensors="pt")
    with torch.no_grad():
        text = model.get_text_features(**tokens).pooler_output
        seen = model.get_image_features(**images).pooler_output
        cosines = torch.cosine_similarity(seen, text)
    return dict(enumerate(cosines.tolist()))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Five videos of three scenes, and one that is none."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(5):
        write(folder / f"{number}.mkv", [3 * number, 3 * number + 1, 3 * number + 2])
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def best_scene(scores: dict[int, float], number: int) -> int:
    return max(range(3 * number, 3 * number + 3), key=scores.__getitem__)


def test_the_best_scene_of_each_video_is_found(
    clip_model: str, clips: Path, tmp_path: Path, scores: dict[int, float]
) -> None:
    search = VideoSearch(tmp_path / "index", model=clip_model, **READ)
    summary = search.add(clips)
    assert (summary.videos, summary.embeddings, summary.frames_read) == (5, 15, 30)
    assert list(summary.errors) == [str(clips / "broken.mp4")]
    found = search.read(QUERY, top_k=3, refine=2, frames_per_place=4)
    order = sorted(range(5), key=lambda number: -scores[best_scene(scores, number)])[:3]
    assert [row["video"] for row in found.rows] == [str(clips / f"{k}.mkv") for k in order]
    for number, row in zip(order, found.rows, strict=True):
        scene = best_scene(scores, number)
        assert row["score"] == pytest.approx(scores[scene], abs=1e-5)
        assert int(row["seconds"]) == scene - 3 * number  # a scene lasts a second
    assert found.videos_read in (1, 2) and found.frames_read == 8  # of two places, four of each
    assert search(QUERY, top_k=3, refine=2) == found.rows
    assert search([QUERY, "cat"], top_k=1)[0] == search(QUERY, top_k=1)
    coarse = search.read(QUERY, top_k=9, refine=0)
    assert len(coarse.rows) == 5  # all there are
    assert (coarse.videos_read, coarse.frames_read, coarse.frames_decoded) == (0, 0, 0)


def test_a_moment_between_the_frames_of_the_index_is_found_by_reading_more(
    clip_model: str, tmp_path: Path, scores: dict[int, float]
) -> None:
    ranked = sorted(scores, key=scores.__getitem__)
    path = tmp_path / "long.mkv"
    plain = ranked[10:14]
    scenes = [scene for scene in plain for _ in range(10)]
    scenes[23] = ranked[-1]  # 0.3 s of 12
    write(path, scenes, frames_each=3)
    search = VideoSearch(
        tmp_path / "index", model=clip_model, num_frames=8, num_embeddings=8, snap_share=0
    )
    search.add(path)
    (coarse,) = search(QUERY, refine=0)
    (fine,) = search(QUERY, refine=8, frames_per_place=10)
    assert coarse["score"] < scores[ranked[-1]] - 1e-3
    assert fine["score"] == pytest.approx(scores[ranked[-1]], abs=1e-5)
    assert fine["seconds"] == pytest.approx(7.05, abs=0.16)


def test_only_what_is_new_or_changed_is_read(clip_model: str, clips: Path, tmp_path: Path) -> None:
    search = VideoSearch(tmp_path / "index", model=clip_model, **READ)
    search.add(clips)
    again = search.add(clips)
    assert (again.videos, again.known, again.frames_read, again.errors) == (0, 6, 0, {})
    write(clips / "9.mkv", [27, 28, 29])
    write(clips / "0.mkv", [17, 18, 19])
    os.utime(clips / "0.mkv", (1, 1))
    more = VideoSearch(tmp_path / "index").add([str(clips), str(clips / "9.mkv")])
    assert (more.videos, more.known, more.embeddings) == (2, 6, 6)
    fresh = VideoSearch(tmp_path / "fresh", model=clip_model, **READ)
    fresh.add(clips)
    opened = VideoSearch(tmp_path / "index")
    assert len(opened.places.videos) == len(fresh.places.videos) == 18
    told, want = opened(QUERY, top_k=6), fresh(QUERY, top_k=6)
    assert [row.pop("score") for row in told] == pytest.approx([row.pop("score") for row in want])
    assert told == want
    shutil.copy(clips / "1.mkv", clips / "broken.mp4")
    assert opened.add(clips).videos == 1  # it was mended
    assert not opened.places.failed
    (clips / "late.mp4").write_bytes(b"")
    assert len(opened.add(clips).errors) == 1
    assert len(opened.add(clips).errors) == 0 and len(opened.add(clips, retry=True).errors) == 1


def test_parts_of_a_video_are_found_by_their_own_frames(
    clip_model: str, clips: Path, tmp_path: Path, scores: dict[int, float]
) -> None:
    path = clips / "2.mkv"
    rows = [{"video": str(path), "start": k, "end": k + 1} for k in range(3)]
    search = VideoSearch(tmp_path / "index", model=clip_model, device="cpu", **READ)
    assert search.add(rows).videos == 3 and search.add(rows).known == 3
    found = {row["video"]: row for row in search(QUERY, top_k=5)}
    assert set(found) == {f"{path}#t={k},{k + 1}" for k in range(3)}
    for k in range(3):
        row = found[f"{path}#t={k},{k + 1}"]
        assert row["score"] == pytest.approx(scores[6 + k], abs=1e-3)
        assert 0 <= row["seconds"] < 1 and "error" not in row


def test_the_index_is_a_table(clip_model: str, clips: Path, tmp_path: Path) -> None:
    search = VideoSearch(tmp_path / "index", model=clip_model, **READ)
    search.add(clips)
    table = pandas.read_parquet(tmp_path / "index")
    good, (bad,) = table[table.status == "ok"], table[table.status == "error"].to_dict("records")
    assert bad["error_reason"] == "not_media" and bad["embedding"] is None
    row = good.iloc[0]
    with Video(row.video) as video:
        frame = video.read([round(row.seconds * 10)])[0].permute(1, 2, 0).numpy()
    model = transformers.CLIPModel.from_pretrained(clip_model).eval()
    processor = transformers.CLIPImageProcessorPil.from_pretrained(clip_model)
    with torch.no_grad():
        inputs = processor([Image.fromarray(frame)], return_tensors="pt")
        (want,) = model.get_image_features(**inputs).pooler_output
    assert np.allclose(row.embedding, want / want.norm(), atol=1e-5)
    assert row.embedding.dtype == np.float32
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset("parquet", data_dir=str(tmp_path / "index"), cache_dir=cache)
    assert loaded["train"].num_rows == 16
    assert search.dataset().column_names == ["video", "seconds", "embedding"]
    assert len(search.dataset()) == 15


def test_a_video_that_is_gone_keeps_its_place_and_says_so(
    clip_model: str, clips: Path, tmp_path: Path
) -> None:
    search = VideoSearch(tmp_path / "index", model=clip_model, **READ)
    search.add(clips)
    first = search(QUERY, refine=0)
    Path(first[0]["video"]).unlink()
    (row, *others) = search(QUERY, refine=3)
    assert row == {**first[0], "error": row["error"]} and "not_found" in row["error"]
    assert not any("error" in other for other in others)


def test_what_is_no_index_or_another_one_is_refused(
    clip_model: str, clips: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="model must be given"):
        VideoSearch(tmp_path / "index")
    with pytest.raises(OutputRefused, match="must be an index"):
        VideoSearch(clips, model=clip_model)
    search = VideoSearch(tmp_path / "index", model=clip_model, **READ)
    assert search(QUERY) == []  # nothing is in it
    for query in ("", "  ", 3):
        with pytest.raises(ValueError, match="query"):
            search.read(query)  # type: ignore[arg-type]
    for options in ({"top_k": 0}, {"refine": -1}, {"frames_per_place": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            search(QUERY, **options)
    with pytest.raises(ValueError, match=r"num_frames \(9\) must be that of the index, 6"):
        VideoSearch(tmp_path / "index", num_frames=9)
    other = save("Siglip", str(tmp_path / "other"))
    with pytest.raises(ValueError, match="its vectors are others"):
        VideoSearch(tmp_path / "index", model=other)
    images = tmp_path / "images"
    config = transformers.ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    transformers.ViTModel(config).save_pretrained(images)
    transformers.ViTImageProcessorPil().save_pretrained(images)
    with pytest.raises(ValueError, match="get_image_features"):
        VideoSearch(tmp_path / "new", model=str(images))


def test_the_commands_index_and_search(clip_model: str, clips: Path, tmp_path: Path) -> None:
    index = str(tmp_path / "index")
    frames = ["--num-frames", "6", "--num-embeddings", "3", "--every-seconds", "1000"]
    run = ["index", str(clips), "-i", index, "--deadline-seconds", "0", "--model", clip_model]
    done = CliRunner().invoke(app, [*run, *frames])
    assert done.exit_code == 3 and "5 videos read (15 vectors, 30 frames" in done.output
    assert "broken.mp4: not_media" in done.output
    known = CliRunner().invoke(app, [*run, *frames])
    assert known.exit_code == 3 and "6 known (1 with an error, which --retry" in known.output
    (clips / "broken.mp4").unlink()
    again = CliRunner().invoke(app, [*run, *frames])
    assert again.exit_code == 0 and "0 videos read" in again.output and "5 known" in again.output
    found = CliRunner().invoke(app, ["search", QUERY, "-i", index, "--json", "--top-k", "2"])
    rows = [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]
    assert found.exit_code == 0 and rows == VideoSearch(index)(QUERY, top_k=2)
    assert "more frames of" in found.output
    for words in (
        ["search", QUERY, "-i", "nowhere"],
        ["index", "nowhere", "-i", str(tmp_path / "n")],
    ):
        refused = CliRunner().invoke(app, words)
        assert refused.exit_code == 2, refused.output


def test_the_nearest_are_those_of_a_sort() -> None:
    draws = np.random.default_rng(0)
    vectors = draws.normal(size=(200, 8)).astype(np.float32)
    vectors[50:60] = vectors[7]  # equals
    query = vectors[7]
    order = np.argsort(-(vectors @ query), kind="stable")
    for k in (1, 5, 200, 300):
        found, scores = nearest(vectors, query, k)
        assert (found == order[:k]).all() and np.allclose(scores, (vectors @ query)[order[:k]])
    assert len(nearest(vectors[:0], query, 3)[0]) == 0


def test_a_place_stands_for_half_the_way_to_its_neighbours() -> None:
    assert window_around(10.0, [2.0, 10.0, 16.0], reach=5.0) == (6.0, 13.0)
    assert window_around(2.0, [2.0, 10.0], reach=5.0) == (0.0, 6.0)
    assert window_around(10.0, [2.0, 10.0], reach=5.0) == (6.0, 15.0)


@pytest.mark.skipif(not has_faiss(), reason="FAISS is an option")
def test_faiss_finds_the_same(clip_model: str, clips: Path, tmp_path: Path) -> None:
    search = VideoSearch(tmp_path / "index", model=clip_model, **READ)
    search.add(clips)
    query = search._query(QUERY).numpy()
    ranked, scores = search._ranked(query, 5, 5)
    want, exact = nearest(search.places.embeddings, query, len(ranked))
    assert np.allclose(scores, exact, atol=1e-6) and set(ranked) == set(want)
