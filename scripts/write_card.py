"""Write the model card of a calibrated reader beside it, as README.md; as `temporal card` does.

    python scripts/write_card.py pipelines/defaults/frames-lite0 scripts/cards/frames-lite0.json

The second file holds what a configuration does not know: the fields of
`temporal.training.model_card.CardFacts`.
"""

from __future__ import annotations

import argparse

from temporal.pipelines.command.card import card_command

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", help="of the saved reader")
    parser.add_argument("facts_file", help="JSON file with what its configuration does not know")
    args = parser.parse_args()
    card_command(args.folder, args.facts_file)
