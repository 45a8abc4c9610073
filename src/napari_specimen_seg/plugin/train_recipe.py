"""From what is chosen in the Train dock to settings, folders and the command that does the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import SpecimenError
from ..models.bundle import is_bundle, read_card
from ..models.library import find_model, own_folder
from ..training.config import TrainConfig
from ..training.start import taken_over
from .reproduce import Recipe
from .stroke_layers import BACKGROUND
from .train_layers import folders_in
from .train_settings import Changes, TrainSettings

if TYPE_CHECKING:
    from ..core.classes import ClassMap
    from .stroke_teacher import Teacher

SETTINGS_NAME = "train.toml"

ROUND_SECONDS = 6.0
"""How long a round of instant learning takes (`training.instant.SECONDS`, which only torch could tell)."""


def base_of(recipe: TrainConfig, model: str, class_map: ClassMap | None, *, layers: bool) -> TrainConfig:
    """Return what a recipe and a model to start from mean for the chosen data.

    Parameters
    ----------
    recipe : TrainConfig
    model : str
        Name or folder; empty for none.
    class_map : ClassMap, optional
        Of open labels.
    layers : bool
        Whether open layers are learned from, whose labels are class ids.

    Returns
    -------
    TrainConfig

    Raises
    ------
    ModelError
        If there is no such model.
    """
    data: dict[str, Any] = {}
    if recipe.data.split == "column" and recipe.data.metadata is None:
        data["split"] = "random"  # by column only where a table says so
    if layers and recipe.data.kind == "colors":
        data["kind"] = "classes"
    one = recipe.data.kind in ("binary", "instances")
    if class_map is not None and not (one and len(class_map.foreground) > 1):
        same = model and read_card(find_model(model)).class_map == class_map
        data["class_map"] = None if same else class_map
    config = recipe.changed({"data": data})
    return taken_over(config, model) if model else config


def data_folder(out: Path) -> Path:
    """Return where open layers are written to for a training: beside the model."""
    return out.with_name(f"{out.name}-data")


def default_out(place: Path | None) -> Path:
    """Return the folder of a new model where the person named none: one that is free.

    Parameters
    ----------
    place : Path, optional
        Where the pictures lie.

    Returns
    -------
    Path
        In the person's model folder. An unfinished run of that name is gone on with.
    """
    return _free(own_folder() / f"{(place.parent.name if place else '') or 'my'}-model", is_bundle)


def _free(wanted: Path, is_taken: Callable[[Path], bool]) -> Path:
    """Return a folder, or the first of those with a number behind its name that is not taken."""
    names = (wanted.name, *(f"{wanted.name}-{number}" for number in range(2, 10_000)))
    return next(found for name in names if not is_taken(found := wanted.with_name(name)))


def named_folder(name: str, proposed: Path) -> Path:
    """Return the folder of a model of this name, beside the proposed one; that one for no name.

    Parameters
    ----------
    name : str
        As the person typed it.
    proposed : Path

    Returns
    -------
    Path

    Raises
    ------
    SpecimenError
        If what was typed is no name.
    """
    try:
        return proposed.with_name(name.strip() or proposed.name)
    except ValueError:  # slashes and the like
        raise SpecimenError(
            f"a model cannot be called {name.strip()!r}", advice="Use letters, digits and spaces in its name."
        ) from None


def remembered(recipe: str, model: str, settings: TrainSettings) -> dict[str, Any]:
    """Return what is to be remembered for a folder, as plain values."""
    changes = settings.changes()
    plain = settings.base.changed(changes).model_dump(mode="json")
    kept: Changes = {
        group: {name: plain[group][name] for name in fields} for group, fields in changes.items() if fields
    }
    return {"recipe": recipe, "start_from": model, "changes": kept}


def train_recipe(config: TrainConfig, out: Path, *, layers: Path | None) -> Recipe:
    """Return the command line and the settings of a training.

    Parameters
    ----------
    config : TrainConfig
    out : Path
        The model folder.
    layers : Path, optional
        Where open layers are written to.

    Returns
    -------
    Recipe
    """
    from ..batch.commands import quoted

    command = quoted(["specimen-seg", "train", "--config", SETTINGS_NAME, "-o", str(out)])
    note = f"Save the settings as {SETTINGS_NAME} first: the command then makes the same model."
    if layers is not None:
        note += f" Train writes the open layers to {layers}."
    return Recipe(command, config.to_toml(), note)


def strokes_recipe(model: str, class_map: ClassMap, out: Path, teacher: Teacher) -> Recipe:
    """Return the command line and the settings of learning from strokes.

    Parameters
    ----------
    model : str
        Name or folder of the model to begin with.
    class_map : ClassMap
        Its classes and those that were added.
    out : Path
        The model folder, beside which pictures and strokes are written. Where it exists, which the command
        would refuse, the command makes one with a number behind its name.
    teacher : Teacher
        Says how much was learned.

    Returns
    -------
    Recipe
    """
    from ..batch.commands import quoted

    images, labels = folders_in(data_folder(out))
    data = {"images": images, "labels": labels, "kind": "classes", "class_map": class_map}
    data |= {"ignore_id": 0, "background_id": BACKGROUND}
    config = taken_over(TrainConfig(), model).changed({"data": data})
    much = ["--instant-steps", str(teacher.steps)] if teacher.steps else ["--instant", f"{ROUND_SECONDS:g}"]
    target = _free(out, Path.exists)
    command = quoted(["specimen-seg", "train", "--config", SETTINGS_NAME, "-o", str(target), *much])
    note = f"Save the settings as {SETTINGS_NAME} first; pictures and strokes are then written to "
    note += f"{images.parent}. The command makes the same model from them."
    if teacher.rounds > 1:
        note += (
            f" It learns in one round what was learned in {teacher.rounds}, so that it is only much alike."
        )
    if target != out:
        note += f" {out.name} is there already, so the command makes {target.name}."
    return Recipe(command, config.to_toml(), note)
