"""Tiny random models, saved as users save theirs, and a tokenizer whose tokens are words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    ViTConfig,
    ViTForImageClassification,
)

from temporal.models import EarlyExit, FrameExit, SkimRNN, SkimRNNConfig

from .fake_cli import BUILT, fake_pipeline_module

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 16,
}
LABELS = {0: "bad", 1: "fair", 2: "good"}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
VOCABULARY = {word: k for k, word in enumerate([*SPECIAL, *(f"w{k}" for k in range(60))])}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each of w0 to w59; `[CLS] ... [SEP]` as BERT has it."""
    tokenizer = Tokenizer(WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    )


def spread(model: Any, std: float = 0.5) -> Any:
    """Draw all matrices wide enough that inputs of a random model get different answers."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "norm" not in name.lower():
                weight.normal_(std=std)
    return model.eval()


def save(model: Any, folder: Path, tokenizer: Any = None) -> Path:
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def make_bert() -> BertForSequenceClassification:
    return spread(
        BertForSequenceClassification(
            BertConfig(
                vocab_size=len(VOCABULARY),
                hidden_size=16,
                num_hidden_layers=3,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=64,
                id2label=LABELS,
                label2id={name: k for k, name in LABELS.items()},
            )
        )
    )


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture(scope="session")
def bert_path(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    torch.manual_seed(1)
    return save(make_bert(), tmp_path_factory.mktemp("bert"), tokenizer)


@pytest.fixture(scope="session")
def early_exit_path(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """Three exits; random answers are often certain, so that some texts halt and some do not."""
    torch.manual_seed(2)
    model = spread(EarlyExit.from_classifier(make_bert(), thresholds=[0.8, 0.8]))
    return save(model, tmp_path_factory.mktemp("early-exit"), tokenizer)


@pytest.fixture(scope="session")
def skim_path(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """Reads about half of the words."""
    torch.manual_seed(3)
    config = SkimRNNConfig(
        vocab_size=len(VOCABULARY),
        embedding_size=8,
        hidden_size=12,
        skim_size=3,
        id2label=LABELS,
        label2id={name: k for k, name in LABELS.items()},
    )
    return save(spread(SkimRNN(config)), tmp_path_factory.mktemp("skim-rnn"), tokenizer)


@pytest.fixture(scope="session")
def vit_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image classifier of 32 x 32 pixels."""
    torch.manual_seed(4)
    config = ViTConfig(
        **SMALL,
        id2label=LABELS,
        label2id={name: k for k, name in LABELS.items()},
    )
    return save(spread(ViTForImageClassification(config)), tmp_path_factory.mktemp("vit"))


@pytest.fixture(scope="session")
def video_mae_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video classifier of clips of 4 frames of 32 x 32 pixels."""
    torch.manual_seed(5)
    config = VideoMAEConfig(
        **SMALL,
        num_frames=4,
        tubelet_size=2,
        id2label=LABELS,
        label2id={name: k for k, name in LABELS.items()},
    )
    return save(spread(VideoMAEForVideoClassification(config)), tmp_path_factory.mktemp("mae"))


@pytest.fixture(scope="session")
def frame_exit_path(tmp_path_factory: pytest.TempPathFactory, vit_path: Path) -> Path:
    """Five frames, exits that halt for some videos."""
    torch.manual_seed(6)
    vit = ViTForImageClassification.from_pretrained(vit_path).vit
    model = FrameExit.from_backbone(
        vit, image_size=32, num_frames=5, id2label=LABELS, thresholds=[0.9] * 4
    )
    with torch.no_grad():
        for branch in model.exits:
            branch.linear.weight.normal_(std=1.0)
    return save(model, tmp_path_factory.mktemp("frame-exit"))


def encode(path: Path, seed: int, *, num_frames: int = 30, gop: int = 10) -> Path:
    """Write 64 x 48 frames at 10 a second: blobs that move and change colour with the seed."""
    random = np.random.default_rng(seed)
    base = random.integers(0, 255, (6, 8, 3))
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10, options={"g": str(gop), "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.thread_count = 1
        for k in range(num_frames):
            small = np.roll(base, k, axis=1) + random.integers(-20, 20, base.shape)
            pixels = small.clip(0, 255).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels))))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six videos of 30 frames, a keyframe every ten."""
    folder = tmp_path_factory.mktemp("videos")
    return [encode(folder / f"v{seed}.mp4", seed) for seed in range(6)]


@pytest.fixture
def encode_video() -> Callable[..., Path]:
    return encode


def words(seed: int, count: int) -> str:
    """A text of so many words."""
    return " ".join(f"w{k}" for k in np.random.default_rng(seed).integers(0, 50, count))


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Twenty texts of 1 to 39 words."""
    return [words(seed, 1 + 2 * seed) for seed in range(20)]


@pytest.fixture
def make_words() -> Callable[[int, int], str]:
    return words


@pytest.fixture
def fake_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """`temporal run` with a pipeline that needs no model, on a terminal of 120 columns."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setitem(sys.modules, "temporal.pipelines.pipeline", fake_pipeline_module())
    monkeypatch.setenv("COLUMNS", "120")
    BUILT.clear()
