"""Clips for training: what is decoded, who reads what, and where reading goes on."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from torch.utils.data import DataLoader

from temporal.data import Video
from temporal.data.loading import ClipDataset, ClipLoader, load_clips, read_bad_clips

from ..conftest import number_of
from ..zoo.web import WebServer

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def ends(num_frames: int, keyframes: Sequence[int]) -> list[int]:
    """The last frame, the first and the second keyframe."""
    return [num_frames - 1, 0, keyframes[1] if len(keyframes) > 1 else 0]


def numbers(pixels: torch.Tensor) -> list[int]:
    return [number_of(image) for image in pixels.numpy()]


def rows_of(batches: Any) -> list[int]:
    return [row for batch in batches for row in batch["row"].tolist()]


def test_a_sample_holds_the_frames_that_were_chosen(class_folder: Path) -> None:
    clips = load_clips(class_folder)
    dataset = ClipDataset(clips, ends, size=(48, 64), glance_size=(24, 32), motion=True)
    sample = list(dataset)[4]
    assert numbers(sample["pixel_values"]) == [23, 0, 12] == sample["frames"].tolist()
    assert sample["pixel_values"].dtype == torch.uint8
    assert sample["glances"].shape == (3, 3, 24, 32)
    assert sample["times"].tolist() == pytest.approx([23 / 24, 0, 0.5])
    assert sample["motion"].shape == (3,)
    assert (sample["labels"], sample["row"], sample["id"]) == (1, 4, "bee/0.mp4")


def test_nothing_but_what_was_chosen_is_decoded(
    class_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent: list[int] = []
    close = Video.close

    def closing(video: Video) -> None:
        spent.append(video.spent.frames_decoded)
        close(video)

    monkeypatch.setattr(Video, "close", closing)
    list(ClipDataset(load_clips(class_folder), lambda count, keys: keys, glance_size=(8, 8)))
    assert spent == [2] * 9  # the keyframes, glanced at and read


def test_a_part_of_a_video(clip: Path) -> None:
    # 25 frames a second: frame 13 is at 0.52 s, and frame 17, at 0.68 s, the last before 0.7 s.
    rows = [{"path": str(clip), "label": "x", "start_seconds": 0.5, "end_seconds": 0.7}]
    seen: list[tuple[int, list[int]]] = []

    def sampler(count: int, keyframes: Sequence[int]) -> list[int]:
        seen.append((count, list(keyframes)))
        return [count - 1, 0]

    (sample,) = ClipDataset(load_clips(rows), sampler, size=(48, 64))
    assert seen == [(5, [0])]
    assert numbers(sample["pixel_values"]) == [17, 13]
    assert sample["frames"].tolist() == [17, 13]  # in the video
    assert sample["times"].tolist() == pytest.approx([4 / 5, 0])


@pytest.fixture
def spoilt(class_folder: Path) -> Path:
    """Four of thirteen rows cannot be read."""
    (class_folder / "ant" / "9.mp4").write_bytes(b"rubbish" * 99)
    (class_folder / "bee" / "0a.mp4").touch()
    (class_folder / "cat" / "9.mp4").symlink_to("nowhere.mp4")
    (class_folder / "dog").mkdir()
    return class_folder


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_clips_are_passed_over_and_listed(spoilt: Path, tmp_path: Path, workers: int) -> None:
    listed = tmp_path / "bad.jsonl"
    dataset = ClipDataset(load_clips(spoilt), ends, size=(16, 16), bad_clips_file=listed)
    loader = ClipLoader(dataset, 2, num_workers=workers)
    assert len(rows_of(loader)) == 9
    bad = {clip.id: clip.reason for clip in loader.bad_clips}
    assert bad == {
        "ant/9.mp4": "not_media",
        "bee/0a.mp4": "not_media",
        "cat/9.mp4": "not_found",
        "dog": "bad_row",
    }
    assert {clip.id: clip.reason for clip in read_bad_clips(listed)} == bad


def test_a_sampler_that_is_wrong_is_no_bad_clip(class_folder: Path) -> None:
    dataset = ClipDataset(load_clips(class_folder), lambda count, keys: [count])
    with pytest.raises(
        ValueError, match=r"the sampler chose \[24\], and must choose some of 0..23"
    ):
        next(iter(dataset))


@pytest.mark.parametrize(("ranks", "workers"), [(1, 0), (2, 2), (3, 1)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_each_row_comes_once_an_epoch(
    many_rows: Callable[[int], Path], ranks: int, workers: int, shuffle: bool
) -> None:
    clips = load_clips(many_rows(101))
    orders = []
    for epoch in range(2):
        shares = []
        for rank in range(ranks):
            dataset = ClipDataset(clips, None, shuffle=shuffle, seed=3, rank=rank, num_ranks=ranks)
            loader = ClipLoader(dataset, 8, num_workers=workers)
            loader.set_epoch(epoch)
            batches = list(loader)
            assert len(batches) == len(loader)
            shares.append(rows_of(batches))
        assert sorted(row for share in shares for row in share) == list(range(101))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        orders.append(shares)
    assert (orders[0] != orders[1]) == shuffle


def test_plain_loaders_share_out_the_rows_too(many_rows: Callable[[int], Path]) -> None:
    dataset = ClipDataset(load_clips(many_rows(31)), None, shuffle=True)
    loader: DataLoader[Any] = DataLoader(
        dataset, batch_size=4, num_workers=2, persistent_workers=True
    )
    first = rows_of(loader)
    dataset.set_epoch(1)  # the workers that live on are told
    second = rows_of(loader)
    assert sorted(first) == sorted(second) == list(range(31))
    assert first != second


def stream_of(count: int, shards: int) -> datasets.IterableDataset:
    def rows(places: list[int]) -> Iterator[dict[str, Any]]:
        for place in places:
            yield {"path": f"{place}.mp4", "label": place % 2}

    features = datasets.Features(
        {"path": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    if shards == 1:
        table = [row for row in rows(list(range(count)))]
        return datasets.Dataset.from_list(table, features=features).to_iterable_dataset()
    return datasets.IterableDataset.from_generator(
        rows, gen_kwargs={"places": list(range(count))}, features=features
    )


@pytest.mark.parametrize("kind", ["list", "one file", "many files"])
@pytest.mark.parametrize(
    ("workers", "shuffle", "stops"),
    [(0, False, (1, 4, 7, 11)), (0, True, (1, 4, 7, 11)), (2, True, (5,))],
)
def test_a_resumed_epoch_goes_on_as_if_nothing_had_happened(
    many_rows: Callable[[int], Path],
    kind: str,
    workers: int,
    shuffle: bool,
    stops: tuple[int, ...],
) -> None:
    def begin() -> ClipLoader:
        if kind == "list":
            clips: Any = load_clips(many_rows(84))
        else:
            clips = load_clips(stream_of(84, 1 if kind == "one file" else 84))
        dataset = ClipDataset(
            clips, None, shuffle=shuffle, buffer_size=16, seed=1, rank=1, num_ranks=2
        )
        return ClipLoader(dataset, 4, num_workers=workers)

    loader = begin()
    loader.set_epoch(2)
    whole = [batch["id"] for batch in loader]
    following = [batch["id"] for batch in loader]
    assert len(whole) in (11, 12)
    for stop in stops:
        loader = begin()
        loader.set_epoch(2)
        batches = iter(loader)
        seen = [next(batches)["id"] for _ in range(stop)]
        saved = json.loads(json.dumps(loader.state_dict()))
        del batches
        resumed = begin()
        resumed.load_state_dict(saved)
        assert seen + [batch["id"] for batch in resumed] == whole
        assert [batch["id"] for batch in resumed] == following


@pytest.mark.parametrize("shards", [1, 8, 40])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_is_dealt_out_whole(shards: int, workers: int) -> None:
    clips = load_clips(stream_of(40, shards))
    got: list[str] = []
    for rank in range(2):
        dataset = ClipDataset(clips, None, shuffle=True, buffer_size=7, rank=rank, num_ranks=2)
        loader = ClipLoader(dataset, 3, num_workers=workers)
        got += [name for batch in loader for name in batch["id"]]
    assert sorted(got) == sorted(f"{place}.mp4" for place in range(40))


def test_what_is_drawn_for_a_row_does_not_depend_on_who_reads_it(class_folder: Path) -> None:
    clips = load_clips(class_folder)

    def flip(sample: dict[str, Any]) -> dict[str, Any]:
        return {"row": sample["row"], "drawn": torch.rand(())}

    def drawn(workers: int, epoch: int = 0) -> dict[int, float]:
        dataset = ClipDataset(clips, None, transform=flip, shuffle=True)
        dataset.set_epoch(epoch)
        batches = list(ClipLoader(dataset, 2, num_workers=workers))
        rows = rows_of(batches)
        return dict(zip(rows, torch.cat([b["drawn"] for b in batches]).tolist(), strict=True))

    before = torch.random.get_rng_state()
    list(ClipDataset(clips, None, transform=flip))
    assert torch.equal(before, torch.random.get_rng_state())
    alone = drawn(0)
    assert drawn(2) == alone
    assert len(set(alone.values())) == 9
    assert drawn(0, epoch=1) != alone


def test_a_dataset_that_repeats_never_ends(many_rows: Callable[[int], Path]) -> None:
    dataset = ClipDataset(load_clips(many_rows(5)), None, shuffle=True, repeat=True)
    loader = ClipLoader(dataset, 2)
    batches = iter(loader)
    rows = rows_of(next(batches) for _ in range(4))
    saved = loader.state_dict()
    rows += rows_of(next(batches) for _ in range(1))
    assert sorted(rows[:5]) == sorted(rows[5:]) == list(range(5))
    resumed = ClipLoader(dataset, 2)
    resumed.load_state_dict(saved)
    assert rows_of([next(iter(resumed))]) == rows[8:]


def test_a_state_of_other_rows_or_workers_is_refused(many_rows: Callable[[int], Path]) -> None:
    clips = load_clips(many_rows(20))
    loader = ClipLoader(ClipDataset(clips, None, shuffle=True), 2)
    next(iter(loader))
    saved = loader.state_dict()
    other = ClipLoader(ClipDataset(clips, None, shuffle=True, seed=1), 2)
    with pytest.raises(ValueError, match="saved state has seed 0, and this is 1"):
        other.load_state_dict(saved)
    other = ClipLoader(ClipDataset(clips, None, shuffle=True, rank=1, num_ranks=2), 2)
    with pytest.raises(ValueError, match="saved state has rank 0, and this is 1"):
        other.load_state_dict(saved)
    more = ClipLoader(ClipDataset(clips, None, shuffle=True), 2, num_workers=2)
    with pytest.raises(ValueError, match="is of 1 shares .* and there are 2"):
        more.load_state_dict(saved)
    fewer = ClipLoader(ClipDataset(clips.select(range(9)), None, shuffle=True), 2)
    with pytest.raises(ValueError, match="has num_rows 20, and this is 9"):
        fewer.load_state_dict(saved)


def test_a_loader_that_was_left_begins_anew(many_rows: Callable[[int], Path]) -> None:
    loader = ClipLoader(ClipDataset(load_clips(many_rows(9)), None), 2)
    assert rows_of([next(iter(loader))]) == [0, 1]
    assert rows_of(loader) == list(range(9))


def test_small_batches_are_left_out_where_asked(many_rows: Callable[[int], Path]) -> None:
    loader = ClipLoader(ClipDataset(load_clips(many_rows(7)), None), 3, drop_last=True)
    assert len(loader) == 2 and len(list(loader)) == 2


def test_options_that_are_out_of_range(class_folder: Path) -> None:
    clips = load_clips(class_folder)
    with pytest.raises(ValueError, match=r"rank \(2\) must be in 0..num_ranks - 1"):
        ClipDataset(clips, None, rank=2, num_ranks=2)
    with pytest.raises(ValueError, match="shuffle is no option of ClipLoader"):
        ClipLoader(ClipDataset(clips, None), 2, shuffle=True)
    with pytest.raises(ValueError, match=r"batch_size \(0\) must be >= 1"):
        ClipLoader(ClipDataset(clips, None), 0)


def test_clips_of_archives_and_bytes_are_read(
    tmp_path: Path, write_shard: Callable[..., Path], clip: Path
) -> None:
    shard = write_shard(tmp_path / "shard.tar", ["x", "y"])
    samples = list(ClipDataset(load_clips(shard), ends, size=(48, 64)))
    assert [numbers(sample["pixel_values"]) for sample in samples] == [[23, 0, 12]] * 2
    videos = [{"bytes": clip.read_bytes(), "path": None}, {"bytes": b"rubbish", "path": "b.mp4"}]
    table = datasets.Dataset.from_dict(
        {"video": videos, "label": ["x", "y"]},
        features=datasets.Features(
            {"video": datasets.Video(decode=False), "label": datasets.Value("string")}
        ),
    )
    for rows in (table, table.to_iterable_dataset()):
        dataset = ClipDataset(load_clips(rows, class_names=["x", "y"]), ends, size=(48, 64))
        assert [numbers(sample["pixel_values"]) for sample in dataset] == [[23, 0, 12]]
        assert [clip.id for clip in dataset.take_bad_clips()] == ["b.mp4"]


def test_clips_of_a_web_server_are_read_where_allowed(
    tmp_path: Path, write_shard: Callable[..., Path], clip: Path
) -> None:
    server = WebServer()
    try:
        url = server.put("shard.tar", write_shard(tmp_path / "shard.tar", ["x", "y"]))
        rows = [{"path": server.put("clip.mp4", clip), "label": "x"}]
        for source, label in ((url, [0, 1]), (rows, [0])):
            clips = load_clips(source, allow_remote=[server.origin])
            samples = list(ClipDataset(clips, ends, size=(48, 64)))
            assert [sample["labels"] for sample in samples] == label
            assert numbers(samples[0]["pixel_values"]) == [23, 0, 12]
        asked = len(server.asked)
        with pytest.raises(ValueError, match="no labelled video: .* is not https"):
            load_clips(url)
        dataset = ClipDataset(load_clips(rows), ends)
        assert list(dataset) == []
        assert [clip.reason for clip in dataset.take_bad_clips()] == ["path_not_allowed"]
        assert len(server.asked) == asked
    finally:
        server.close()


def test_several_labels_become_ones_and_zeros(clip: Path) -> None:
    rows = [{"path": str(clip), "label": ["a", "c"]}, {"path": str(clip), "label": "b"}]
    samples = list(ClipDataset(load_clips(rows), None))
    assert [sample["labels"].tolist() for sample in samples] == [[1, 0, 1], [0, 1, 0]]


def test_it_pickles(class_folder: Path) -> None:
    dataset = pickle.loads(pickle.dumps(ClipDataset(load_clips(class_folder), ends)))
    assert len(list(dataset)) == 9
