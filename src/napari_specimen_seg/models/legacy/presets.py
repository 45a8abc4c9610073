"""The models of the systems that this program follows on from: what their files do not tell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preset:
    """Answers for one kind of model, in the words of `ImportOptions`.

    Parameters
    ----------
    help : str
        For people.
    classes : str
        Name of a class map.
    preprocessing : str
        With a colon first, only the geometry: values are scaled as the file tells.
    architecture, encoder, activation : str
        By which the file is known; empty: any.
    in_channels, out_channels : int
        The same; 0: any.
    """

    help: str
    classes: str
    preprocessing: str
    architecture: str = ""
    encoder: str = ""
    activation: str = ""
    in_channels: int = 0
    out_channels: int = 0

    @property
    def certain(self) -> bool:
        """Whether a file that fits can be nothing else."""
        return bool(self.architecture and self.encoder and self.activation and self.out_channels > 2)


PRESETS: dict[str, Preset] = {
    "fish-traits": Preset(
        "The fish trait model of BGNN: 12 traits on a photograph of 320 x 800, the later trait on top.",
        classes="fish-traits",
        preprocessing="fish-traits",
        architecture="FPN",
        encoder="se_resnext50_32x4d",
        activation="sigmoid",
        in_channels=3,
        out_channels=12,
    ),
    "herbarium": Preset(
        "Herbarium sheets: background and specimen, padded to 512 x 512 and never cropped.",
        classes="specimen",
        preprocessing=":pad=512",
        in_channels=3,
    ),
    "embryo-gray": Preset(
        "C. elegans embryos: nuclei in one grey channel of 256 x 256.",
        classes="nuclei",
        preprocessing="zero-one:resize=256x256",
        in_channels=1,
        out_channels=1,
    ),
}
"""By name, as given to ``--preset``."""
