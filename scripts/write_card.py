"""Write the model card of a calibrated reader beside it, as README.md.

    python scripts/write_card.py pipelines/defaults/frames-lite0 scripts/cards/frames-lite0.json

The second file holds what a configuration does not know: the fields of
`temporal.training.model_card.CardFacts`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from transformers import AutoConfig

import temporal.models  # noqa: F401  # its model types are registered by being imported
from temporal.training.model_card import CardFacts, render_card


def write_card(folder: str, facts_file: str) -> None:
    """Render README.md in a saved reader's folder."""
    facts = CardFacts(**json.loads(Path(facts_file).read_text(encoding="utf-8")))
    card = render_card(AutoConfig.from_pretrained(folder), facts)
    Path(folder, "README.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", help="of the saved reader")
    parser.add_argument("facts_file", help="JSON file with what its configuration does not know")
    args = parser.parse_args()
    write_card(args.folder, args.facts_file)
