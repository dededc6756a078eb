"""`VideoSearch`: a collection of videos that is found by words."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from temporal.backbones.image_text import check_image_text, text_vectors
from temporal.checks import check_count

from ...data import collect
from ..jobs.stop import stop_on_signal
from ..jobs.store.ledger import ResultWriter
from ..jobs.store.parts import list_parts
from ..pipeline import pipeline
from .indexing import IndexSummary, new_items, rows_of, video_at
from .nearest import faiss_index, has_faiss, nearest
from .refining import PlacesPipeline, PlacesReader, Window, window_around
from .result import SearchResult
from .store import Places, index_schema, read_places, read_settings, write_settings

READ = {"num_frames": 32, "num_embeddings": 8, "every_seconds": 8.0, "snap_share": 0.5}
"""How videos are read for an index, where it is not said otherwise."""

_PROBE = "a photo"  # whose vector tells another model's weights
_ROWS_PER_PART = 256
_OF_VIDEOS = {
    *("device", "batch_size", "backend", "isolate", "deadline_seconds"),
    *("allow_remote", "max_pixels"),
}
"""Options of any pipeline that reads videos."""

_REACH_SECONDS = 8.0  # of a place that has no neighbour


class VideoSearch:
    """A collection of videos that is found by words, in an index on the disk.

    Args:
        index: its directory; empty or absent for a new one.
        model: an image-text model of transformers (path, hub id or object); of an index that is
            there, by default its own.
        tokenizer: of a model that is given as an object.
        device, batch_size: as for `pipeline()`.
        num_frames, num_embeddings, every_seconds, snap_share: how videos are read for a new index:
            `num_frames` of each, of which the `num_embeddings` that differ most are kept, in the
            same proportion where a long video has a frame for each `every_seconds`, each moved to a
            keyframe by at most `snap_share` of the way to the next.
        **options: of `pipeline("video-feature-extraction")`, as `isolate` or `image_processor`.

    Raises:
        ValueError: the model does not compare images with texts, or is not the index's.
        OutputRefused: the directory holds something else.

    Example:
        >>> search = VideoSearch("index", model="openai/clip-vit-base-patch32")
        >>> search.add("clips/")
        >>> search("two dogs at night", top_k=3)
        [{'video': '/home/me/clips/17.mp4', 'seconds': 12.4, 'score': 0.31}, ...]
    """

    def __init__(
        self,
        index: str | os.PathLike[str],
        *,
        model: Any = None,
        tokenizer: Any = None,
        device: Any = None,
        batch_size: int | None = None,
        num_frames: int | None = None,
        num_embeddings: int | None = None,
        every_seconds: float | None = None,
        snap_share: float | None = None,
        **options: Any,
    ) -> None:
        self.index = Path(index)
        there = read_settings(index)
        asked = {
            "num_frames": num_frames,
            "num_embeddings": num_embeddings,
            "every_seconds": every_seconds,
            "snap_share": snap_share,
        }
        own = READ if there is None else there["read"]
        given = {name: value for name, value in asked.items() if value is not None}
        for name, value in given.items():
            if there is not None and value != own[name]:
                raise ValueError(
                    f"{name} ({value}) must be that of the index, {own[name]}: leave it out, or "
                    "make another index"
                )
        if model is None and there is None:
            raise ValueError(f"model must be given: index ({index}) is not there")
        read = {**own, **given}
        model = there["model"] if model is None and there is not None else model
        options = {"device": device, "batch_size": batch_size, **options}
        self.pipe: Any = pipeline(
            "video-feature-extraction", model, embedding="few", normalize=True, **read, **options
        )
        self.model: Any = self.pipe.model.model
        check_image_text(self.model)
        self.tokenizer = _tokenizer(tokenizer, model)
        self._options = {name: options[name] for name in _OF_VIDEOS & options.keys()}
        probe = self._query(_PROBE)[:8].tolist()
        if there is None:
            name = model if isinstance(model, str) else self.pipe.model_name
            name = os.path.abspath(name) if os.path.isdir(name) else str(name)
            write_settings(index, {"model": name, "read": read, "probe": probe})
        elif not np.allclose(probe, there["probe"], atol=1e-2):
            raise ValueError(
                f"model ({self.pipe.model_name}) must be the one that made index ({index}), "
                f"{there['model']}: its vectors are others"
            )
        self._places: Places | None = None
        self._dataset: Any = None

    @property
    def places(self) -> Places:
        """The vectors of the index."""
        if self._places is None:
            self._places = read_places(self.index)
        return self._places

    def add(
        self,
        videos: Any,
        *,
        retry: bool = False,
        progress: bool = False,
        **collected: Any,
    ) -> IndexSummary:
        """Read videos into the index; those that are there as they are, are not read again.

        What cannot be read has a row with its error. A signal (Ctrl-C) stops after the videos in
        flight; what was read is kept, and the same call goes on.

        Args:
            videos: a path, directory, glob, list, table or dataset: what `temporal.data.collect`
                takes.
            retry: read again what could not be read before.
            progress: show a bar on stderr.
            **collected: more of `collect`: `column`, `limit`, `root` ...

        Returns:
            What became of them.

        Raises:
            OutputRefused: another process writes to the index.
            CommitError: the disk refused; what was written before is kept.
        """
        from tqdm import tqdm

        summary = IndexSummary()
        places = self.places
        versions: dict[str, str | None] = {}
        items = collect(videos, kind="video", paths_repeat=True, **collected)
        numbers = [part.last for part in list_parts(self.index)[0]]
        first = max(numbers, default=-1) + 1
        with (
            stop_on_signal() as stop,
            ResultWriter(self.index, schema=index_schema(), rows_per_part=_ROWS_PER_PART) as writer,
        ):

            def offered() -> Any:
                new = new_items(items, places.versions, places.failed, summary, retry=retry)
                for item, version in new:
                    if stop.is_set():
                        summary.stopped = True
                        return
                    versions[item.id] = version
                    yield item

            readings = self.pipe.read(offered(), order="completed", on_error="record")
            with closing(readings), tqdm(unit="video", disable=not progress) as bar:
                for number, reading in enumerate(readings):
                    rows = rows_of(reading, versions.pop(reading.id))
                    writer.write_group(rows, first=first + number)
                    _count(summary, reading, rows)
                    bar.update()
            if not summary.stopped:
                writer.join()
        self._places = self._dataset = None
        return summary

    def __call__(self, query: str | list[str], **options: Any) -> Any:
        """Find the videos that fit a text: rows, the best first; of a list a list of these.

        Args:
            query: a text, or several.
            **options: see `read`.

        Returns:
            Rows with `video`, `seconds` and `score`.
        """
        if isinstance(query, str):
            return self.read(query, **options).rows
        return [self.read(one, **options).rows for one in query]

    def read(
        self, query: str, *, top_k: int = 10, refine: int = 10, frames_per_place: int = 4
    ) -> SearchResult:
        """Find the videos that fit a text, and count what that takes.

        Args:
            query: a text.
            top_k: videos that are told.
            refine: places that are looked at more closely, those that rank first in the index; 0:
                none, and no video is opened.
            frames_per_place: frames that are read around each.

        Raises:
            ValueError: the query is empty, or a number is out of its range.
        """
        if not isinstance(query, str) or not query.strip():
            raise ValueError(f"query ({query!r}) must be a text")
        check_count("top_k", top_k, 1)
        check_count("refine", refine, 0)
        check_count("frames_per_place", frames_per_place, 1)
        places = self.places
        if not len(places.videos):
            return SearchResult()
        query_D = self._query(query)
        ranked, scores = self._ranked(query_D.numpy(), max(refine, top_k), top_k)
        best: dict[int, tuple[float, float]] = {}
        for place, score in zip(ranked.tolist(), scores.tolist(), strict=True):
            video = int(places.videos[place])
            best.setdefault(video, (score, float(places.seconds[place])))
        found, errors = self._refined(query_D, ranked[:refine].tolist(), frames_per_place)
        frames = decoded = 0
        for reading in found:
            video = places.names.index(reading.id)
            frames += reading.trace.units_read
            decoded += reading.trace.cost.frames_decoded
            (told,) = reading.predictions
            nearer = max(zip(told["scores"], told["seconds"], strict=True))
            best[video] = max(best[video], nearer)
        order = sorted(best, key=lambda video: (-best[video][0], video))[:top_k]
        rows: list[dict[str, Any]] = []
        for video in order:
            name, (score, seconds) = places.names[video], best[video]
            row = {"video": name, "seconds": seconds, "score": score}
            rows.append(row | ({"error": errors[name]} if name in errors else {}))
        return SearchResult(
            rows=rows, videos_read=len(found), frames_read=frames, frames_decoded=decoded
        )

    def dataset(self) -> Any:
        """The places as a dataset of `datasets`: `video`, `seconds`, `embedding`.

        Where FAISS is installed it has an index of them (`get_nearest_examples`).
        """
        from datasets import Dataset

        if self._dataset is None:
            places = self.places
            columns = {
                "video": [places.names[video] for video in places.videos],
                "seconds": places.seconds.tolist(),
                "embedding": list(places.embeddings),
            }
            made = Dataset.from_dict(columns)
            self._dataset = faiss_index(made) if has_faiss() and len(made) else made
        return self._dataset

    def _query(self, text: str) -> torch.Tensor:
        return text_vectors(self.model, self.tokenizer, [text])[0].float().cpu()

    def _ranked(self, query_D: Any, wanted: int, top_k: int) -> tuple[Any, Any]:
        """Places by falling score: so many, and of enough videos."""
        places = self.places
        enough = min(top_k, len(set(places.videos.tolist())))
        count = 4 * wanted
        while True:
            if has_faiss():
                found = self.dataset().search(
                    "embedding", query_D, k=min(count, len(places.videos))
                )
                ranked, scores = np.asarray(found.indices), np.asarray(found.scores)
            else:
                ranked, scores = nearest(places.embeddings, query_D, count)
            if len(set(places.videos[ranked].tolist())) >= enough:
                return ranked, scores
            count *= 4

    def _refined(
        self, query_D: torch.Tensor, ranked: list[int], frames_per_place: int
    ) -> tuple[list[Any], dict[str, str]]:
        """More frames of the stretches that places stand for, and what could not be read."""
        places = self.places
        windows: dict[str, list[Window]] = defaultdict(list)
        for place in ranked:
            video = places.videos[place]
            others = places.seconds[places.videos == video].tolist()
            seconds = float(places.seconds[place])
            name = places.names[int(video)]
            windows[name].append(window_around(seconds, others, _REACH_SECONDS))
        errors = {name: "its bytes are not kept" for name in windows if not _can_open(name)}
        reader = PlacesReader(self.pipe.reader, windows, frames_per_place)
        pipe = PlacesPipeline(reader, query_D, self.pipe.model_name, **self._options)
        opened = [name for name in windows if name not in errors]
        found = []
        given = (video_at(name) for name in opened)
        for reading in pipe.read(given, on_error="record") if opened else ():
            if reading.error is not None:
                errors[reading.id] = f"{reading.error.reason}: {reading.error.message}"
            if reading.predictions:
                found.append(reading)
        return found, errors


def _can_open(name: str) -> bool:
    return os.path.isabs(name) or "://" in name


def _count(summary: IndexSummary, reading: Any, rows: list[dict[str, Any]]) -> None:
    if reading.trace is not None:
        summary.frames_read += reading.trace.units_read
        summary.frames_decoded += reading.trace.cost.frames_decoded
    if reading.predictions:
        summary.videos += 1
        summary.embeddings += len(rows)
    if reading.error is not None:
        summary.errors[reading.id] = f"{reading.error.reason}: {reading.error.message}"


def _tokenizer(tokenizer: Any, model: Any) -> Any:
    if tokenizer is not None and not isinstance(tokenizer, str):
        return tokenizer
    from transformers import AutoTokenizer

    place = tokenizer or (model if isinstance(model, str | os.PathLike) else None)
    place = place or getattr(model, "name_or_path", None)
    if not place:
        raise ValueError("tokenizer must be given with a model that is an object")
    return AutoTokenizer.from_pretrained(place)
