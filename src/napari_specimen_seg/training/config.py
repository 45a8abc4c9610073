"""Everything that a training depends on, in one object: form, command line and saved run come from it.

Every field has a title, a sentence of help and its bounds on itself. `TrainConfig` is written to
``train.toml`` in the model folder and read from there again.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ..core.classes import ClassMap
from ..core.errors import ReadError, SpecimenError, validation_line
from ..core.input_settings import ByDtype, Geometry, PadToSquare, ValueRange
from .config_parts import AugmentSettings as AugmentSettings
from .config_parts import Settings, Share


class DataSettings(Settings):
    """Which pictures and labels, what the labels mean, and which pictures are kept for validation."""

    images: Annotated[
        Path | None, Field(title="Pictures", description="Folder, list (CSV) or COCO file of the pictures.")
    ] = None
    labels: Annotated[
        Path | None,
        Field(title="Labels", description="Folder of the masks; empty where the list names them."),
    ] = None
    kind: Annotated[
        Literal["auto", "classes", "binary", "colors", "instances"],
        Field(
            title="Kind of masks",
            description="Class ids, 0/255, colours of the class map, or one number per object.",
        ),
    ] = "auto"
    class_map: Annotated[
        ClassMap | None, Field(title="Classes", description="Names, ids and colours; empty: from the masks.")
    ] = None
    ignore_id: Annotated[
        int | None,
        Field(
            ge=0,
            le=65535,
            title="Not labelled",
            description="Label value that means 'nobody looked here'; neither learned nor scored.",
        ),
    ] = None
    background_id: Annotated[
        int | None,
        Field(
            ge=0,
            le=65535,
            title="Background",
            description="Label value of strokes on the background, where 0 means 'not labelled'.",
        ),
    ] = None
    split: Annotated[
        Literal["random", "column", "group"],
        Field(title="Split", description="Which pictures are kept for validation."),
    ] = "random"
    validation_share: Annotated[
        float,
        Field(gt=0, lt=1, title="Validation share", description="Part of the pictures kept for validation."),
    ] = 0.2
    metadata: Annotated[
        Path | None,
        Field(title="Metadata", description="CSV with a row per picture, for splitting by column or group."),
    ] = None
    column: Annotated[
        str,
        Field(
            title="Column",
            description="valid_set_equals_1 or any: 1, true or 'val' keeps the picture for validation.",
        ),
    ] = "valid_set_equals_1"
    group: Annotated[
        str,
        Field(
            title="Group",
            description="Column of the specimen, plate or field, or a pattern that finds it in the file "
            "name; pictures of one group never straddle the split.",
        ),
    ] = ""


class NetworkSettings(Settings):
    """Which network, and what it starts from."""

    architecture: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9+]{1,40}$", title="Network", description="FPN, Unet, UnetPlusPlus, …")
    ] = "FPN"
    encoder: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$", title="Encoder", description="resnet34, tu-…")
    ] = "resnet34"
    options: Annotated[
        dict[str, Any], Field(title="Options", description="Further arguments of the network.")
    ] = {}  # noqa: RUF012 - pydantic copies defaults
    start_from: Annotated[
        str, Field(title="Start from", description="A model to learn on from; empty: from scratch.")
    ] = ""
    pretrained: Annotated[
        bool,
        Field(title="ImageNet weights", description="Downloads the encoder's weights if they are not here."),
    ] = False


class InputSettings(Settings):
    """How pictures meet the network; stored in the model's card."""

    channels: Annotated[
        Literal["rgb", "gray"] | Annotated[int, Field(ge=1, le=64)],
        Field(title="Channels", description="Colour, grey, or a number of channels taken as they are."),
    ] = "rgb"
    values: Annotated[
        ValueRange,
        Field(title="Range of values", description="What becomes black and white for the network."),
    ] = ByDtype()
    geometry: Annotated[
        Geometry, Field(title="Size", description="Tiles at the picture's scale, stretched, or padded.")
    ] = PadToSquare(size=512)


LossName = Literal["dice", "jaccard", "cross_entropy", "focal", "lovasz", "tversky"]


class LearnSettings(Settings):
    """What is minimised, how, and for how long."""

    losses: Annotated[
        dict[LossName, Annotated[float, Field(gt=0)]],
        Field(min_length=1, title="Loss", description="Names and weights of what is added up."),
    ] = {"cross_entropy": 1.0, "dice": 1.0}  # noqa: RUF012 - pydantic copies defaults
    class_weights: Annotated[
        Literal["none", "balanced"],
        Field(title="Class weights", description="Balanced: rare classes count more (square-root rule)."),
    ] = "none"
    optimizer: Annotated[
        Literal["adam", "adamw", "sgd"], Field(title="Optimiser", description="How steps are chosen.")
    ] = "adamw"
    lr: Annotated[
        float,
        Field(
            gt=0,
            le=10,
            title="Learning rate",
            json_schema_extra={"step": 1e-6},
            description="Size of a step: too large jumps about, too small never arrives.",
        ),
    ] = 1e-3
    weight_decay: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            title="Weight decay",
            description="Pulls weights to zero.",
            json_schema_extra={"step": 0.001},
        ),
    ] = 0.01
    schedule: Annotated[
        Literal["one_cycle", "cosine", "plateau", "constant"],
        Field(title="Schedule", description="How the learning rate changes."),
    ] = "one_cycle"
    epochs: Annotated[
        int, Field(ge=1, le=100_000, title="Epochs", description="How often everything is learned from.")
    ] = 40
    frozen_epochs: Annotated[
        int,
        Field(
            ge=0,
            le=100_000,
            title="Frozen epochs",
            description="First so many epochs with a frozen encoder, then `epochs` with all layers.",
        ),
    ] = 0
    freeze_encoder: Annotated[
        bool, Field(title="Freeze encoder", description="Only the decoder learns, all the time.")
    ] = False
    fixed_views: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            title="Fixed views",
            description="While the encoder is frozen: so many fixed variations of each picture, of which the "
            "encoder's answers are kept, so that later epochs are several times faster; 0: vary anew.",
        ),
    ] = 0
    discriminative: Annotated[
        tuple[float, float] | None,
        Field(
            json_schema_extra={"example": [400, 4]},
            title="Discriminative rates",
            description="Divisors of the rate for the first and the last layers, e.g. 400 and 4.",
        ),
    ] = None
    batch_size: Annotated[
        int, Field(ge=1, le=4096, title="Batch size", description="Pictures learned from at once.")
    ] = 8
    accumulate: Annotated[int, Field(ge=1, le=4096, title="Accumulate", description="Batches per step.")] = 1
    precision: Annotated[
        Literal["auto", "fp32", "mixed"],
        Field(title="Precision", description="Mixed is faster where the device has it."),
    ] = "auto"
    ema: Annotated[
        float,
        Field(
            ge=0, lt=1, title="Weight averaging", description="0 is off.", json_schema_extra={"step": 0.001}
        ),
    ] = 0.0
    patience: Annotated[
        int, Field(ge=0, title="Patience", description="Stop after so many epochs without gain; 0: never.")
    ] = 0
    clip: Annotated[float, Field(ge=0, title="Gradient clipping", description="0 is off.")] = 5.0
    balance: Annotated[
        tuple[int, int] | None,
        Field(
            json_schema_extra={"example": [4, 2]},
            title="Balanced batches",
            description="So many classes times so many pictures of each.",
        ),
    ] = None
    per_class: Annotated[
        int, Field(ge=0, title="Pictures per class", description="At most so many an epoch; 0: all.")
    ] = 0
    rare_patches: Annotated[
        Share, Field(title="Rare classes", description="Part of the patches centred on a rare class.")
    ] = 0.0
    patches: Annotated[
        int, Field(ge=1, le=1000, title="Patches", description="Per picture and epoch, for tiles.")
    ] = 1
    threshold: Annotated[
        float, Field(gt=0, lt=1, title="Threshold", description="Probability from which on it is the class.")
    ] = 0.5
    head: Annotated[
        Literal["auto", "softmax", "sigmoid", "binary"],
        Field(title="Head", description="Auto: binary for one class, else softmax."),
    ] = "auto"

    @model_validator(mode="after")
    def _crossing(self) -> Self:
        if self.freeze_encoder and self.frozen_epochs:
            raise ValueError("frozen_epochs has no meaning while the encoder stays frozen")
        return self


class RunSettings(Settings):
    """Where it runs and what it leaves."""

    name: Annotated[str, Field(max_length=100, title="Name", description="Empty: the folder's name.")] = ""
    seed: Annotated[
        int, Field(ge=0, le=2**31 - 1, title="Seed", description="The same seed gives the same model.")
    ] = 0
    device: Annotated[
        str, Field(pattern=r"^[a-z0-9:_-]{1,40}$", title="Device", description="Lightning's accelerator.")
    ] = "auto"
    devices: Annotated[str, Field(title="Devices", description="Lightning's devices, e.g. 1 or 0,1.")] = "1"
    nodes: Annotated[int, Field(ge=1, title="Nodes", description="Machines that train together.")] = 1
    strategy: Annotated[str, Field(title="Strategy", description="Lightning's strategy.")] = "auto"
    workers: Annotated[
        int, Field(ge=0, le=256, title="Loader processes", description="0: the training does it.")
    ] = 0
    checkpoint_minutes: Annotated[
        float,
        Field(
            ge=0,
            le=10_000,
            title="Minutes between checkpoints",
            description="Inside of an epoch; after every epoch there is one in any case. 0: only then.",
        ),
    ] = 5.0
    loggers: Annotated[
        tuple[Literal["tensorboard", "wandb"], ...],
        Field(title="Logs beside history.csv", description="Each must be installed."),
    ] = ()


class TrainConfig(Settings):
    """All settings of a training.

    Parameters
    ----------
    recipe : str
        The named recipe it started from; for people.
    data, network, input, augment, learn, run
        See there.
    """

    recipe: str = ""
    data: DataSettings = DataSettings()
    network: NetworkSettings = NetworkSettings()
    input: InputSettings = InputSettings()
    augment: AugmentSettings = AugmentSettings()
    learn: LearnSettings = LearnSettings()
    run: RunSettings = RunSettings()

    def changed(self, changes: dict[str, dict[str, Any]]) -> TrainConfig:
        """Return a checked copy with some fields of some groups changed.

        Parameters
        ----------
        changes : dict
            ``{"learn": {"epochs": 3}}``.

        Returns
        -------
        TrainConfig

        Raises
        ------
        SpecimenError
            If a value is not allowed; names the field.
        """
        content = self.model_dump()
        for group, fields in changes.items():
            if isinstance(fields, dict) and isinstance(content.get(group), dict):
                content[group] |= fields
            else:
                content[group] = fields
        try:
            return TrainConfig.model_validate(content)
        except ValidationError as error:
            raise SpecimenError(f"settings: {validation_line(error)}") from error

    def to_toml(self) -> str:
        """Return the settings as TOML, without what is empty.

        ``complete`` says so: what a recipe has and these settings have not shall not come back.
        """
        import tomli_w

        return tomli_w.dumps({"complete": True, **_without_none(self.model_dump(mode="json"))})

    @classmethod
    def from_toml(cls, path: Path) -> TrainConfig:
        """Read settings from a TOML file; what it leaves out has its default.

        Parameters
        ----------
        path : Path

        Returns
        -------
        TrainConfig

        Raises
        ------
        ReadError
            If the file cannot be read or a setting is not allowed.
        """
        from .recipes import RECIPES

        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ReadError(f"cannot be read ({error.strerror})", path=path) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ReadError(f"is not valid TOML ({error})", path=path) from error
        whole = content.pop("complete", False) is True
        base = cls() if whole else RECIPES.get(str(content.get("recipe", "")), cls())
        try:
            return base.changed(content)
        except SpecimenError as error:
            raise ReadError(error.cause, path=path, advice="Mend the setting and try again.") from error


def _without_none(value: Any) -> Any:
    """Drop None everywhere: TOML has no word for it, and leaving out means the same here."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value
