"""Store a trained review reader as the bundled one: small enough to ship, with a model card.

    python scripts/export_default.py out/skim pipelines/defaults/review-skim-rnn \\
        scripts/cards/review-skim-rnn.json

Weights become float16, in safetensors. The record of the rows that it was trained on keeps those of
--rows_of, which are whole texts, and names the others (--unlisted): all would be half as large as
the weights. Only for those who maintain `pipelines/defaults`: a reader of your own needs no export.
"""

from __future__ import annotations

import argparse

import torch
from transformers import AutoTokenizer

from temporal.data.labelled.digests import digest_text
from temporal.data.labelled.files import read_labelled_texts
from temporal.pipelines.command.card import card_command
from temporal.pipelines.loading.load import load_model

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", help="folder of the trained reader")
    parser.add_argument("target", help="folder to write")
    parser.add_argument("facts_file", help="of temporal card")
    parser.add_argument("--rows_of", help="labelled texts whose digests are kept; default: all")
    parser.add_argument("--unlisted", nargs="*", default=[], help="what the other rows are of")
    args = parser.parse_args()
    source, target, facts_file = args.source, args.target, args.facts_file
    loaded = load_model("text-classification", source)
    loaded.module.config.architectures = [type(loaded.module).__name__]
    seen = loaded.module.rows_seen
    if args.rows_of and seen is not None:
        texts = read_labelled_texts(args.rows_of)["text"]
        kept = frozenset(map(digest_text, texts))
        loaded.module.rows_seen = seen.listing(kept, args.unlisted)
    loaded.module.to(torch.float16).save_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.backend_tokenizer.no_truncation()  # training's limit is not the reader's
    tokenizer.save_pretrained(target)
    card_command(target, facts_file)
