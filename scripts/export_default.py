"""Store a trained reader and its tokenizer small enough to ship: float16 weights, safetensors.

python scripts/export_default.py out/skim pipelines/defaults/review-skim-rnn
"""

from __future__ import annotations

import sys

import torch
from transformers import AutoTokenizer

from temporal.pipelines.loading import load_model

if __name__ == "__main__":
    source, target = sys.argv[1:3]
    loaded = load_model("text-classification", source)
    loaded.module.config.architectures = [type(loaded.module).__name__]
    loaded.module.to(torch.float16).save_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.backend_tokenizer.no_truncation()  # training's limit is not the reader's
    tokenizer.save_pretrained(target)
