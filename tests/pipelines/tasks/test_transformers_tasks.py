"""Our tasks, called through transformers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers.pipelines import PIPELINE_REGISTRY

from temporal.pipelines import pipeline
from temporal.pipelines.tasks.transformers_tasks import register_tasks


def test_registering_twice_changes_nothing() -> None:
    before = dict(PIPELINE_REGISTRY.supported_tasks)
    register_tasks()
    assert PIPELINE_REGISTRY.supported_tasks == before
    assert {"adaptive-text-classification", "adaptive-video-classification"} <= before.keys()


@pytest.mark.parametrize(
    "first",
    [
        "import temporal.pipelines",
        "import temporal.pipelines.tasks.transformers_tasks",
        "import transformers.pipelines, temporal.pipelines",
    ],
)
def test_transformers_has_our_tasks_whatever_is_imported_first(first: str) -> None:
    code = f"{first}\nfrom transformers.pipelines import PIPELINE_REGISTRY as tasks\n"
    code += "print(*(x for x in tasks.get_supported_tasks() if x.startswith('adaptive-')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kinds = ["text-classification", "video-classification", "video-event-detection"]
    kinds += ["video-feature-extraction", "video-text-to-text", "zero-shot-video-classification"]
    assert done.stdout.split() == [f"adaptive-{kind}" for kind in kinds]


@pytest.mark.parametrize("kind", ["bert", "skim", "early_exit"])
def test_texts(kind: str, request: pytest.FixtureRequest, texts: list[str]) -> None:
    path = str(request.getfixturevalue(f"{kind}_path"))
    theirs: Any = transformers.pipeline("adaptive-text-classification", model=path, device="cpu")
    ours: Any = pipeline("text-classification", model=path, device="cpu")
    assert theirs(texts) == ours(texts)
    assert theirs(texts[0]) == ours(texts[0])
    assert theirs(texts[0], top_k=2) == ours(texts[0], top_k=2)
    traces = [reading.trace.read for reading in theirs.read(texts)]
    assert traces == [reading.trace.read for reading in ours.read(texts)]


@pytest.mark.parametrize("kind", ["vit", "video_mae", "frame_exit"])
def test_videos(kind: str, request: pytest.FixtureRequest, videos: list[Path]) -> None:
    path = str(request.getfixturevalue(f"{kind}_path"))
    theirs: Any = transformers.pipeline("adaptive-video-classification", model=path, device="cpu")
    ours: Any = pipeline("video-classification", model=path, device="cpu")
    assert theirs(str(videos[0])) == ours(str(videos[0]))


def test_options_reach_our_pipeline(bert_path: Path, make_words: Any) -> None:
    pipe: Any = transformers.pipeline(
        "adaptive-text-classification", model=str(bert_path), device="cpu", budget=0.5, top_k=2
    )
    text = make_words(0, 124)  # two chunks of 62
    (reading,) = pipe.read([text])
    assert (len(reading.trace.read), len(reading.predictions)) == (62, 2)
    with pytest.raises(ValueError, match=r"budget \(2\)"):
        transformers.pipeline(
            "adaptive-text-classification", model=str(bert_path), device="cpu", budget=2
        )


def test_our_options_are_passed_on_and_unknown_ones_refused(
    bert_path: Path, texts: list[str]
) -> None:
    task: Any = "adaptive-text-classification"
    raw: Any = transformers.pipeline(
        task, model=str(bert_path), device="cpu", function_to_apply="none", max_length=5
    )
    ours: Any = pipeline(
        "text-classification", model=bert_path, function_to_apply="none", max_length=5
    )
    assert raw(texts) == ours(texts)
    with pytest.raises(TypeError, match="max_lenght"):
        transformers.pipeline(task, model=str(bert_path), device="cpu", max_lenght=5)
