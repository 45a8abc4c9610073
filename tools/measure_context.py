"""Measure how far the networks of model folders look, and write it into their cards; weights stay.

python tools/measure_context.py src/napari_specimen_seg/models/bundled/nuclei
"""

from __future__ import annotations

import sys
from pathlib import Path

from napari_specimen_seg.core.files.atomic import atomic
from napari_specimen_seg.models.bundle import CARD
from napari_specimen_seg.models.context import with_context
from napari_specimen_seg.models.predictor import load_model


def main(folders: list[str]) -> None:
    """Rewrite the card of each folder."""
    for folder in folders:
        model = load_model(folder)
        card = with_context(model.card, model.network.state_dict()).sealed()
        with atomic(Path(folder) / CARD, overwrite=True) as path:
            path.write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
        print(folder, card.context)


if __name__ == "__main__":
    main(sys.argv[1:])
