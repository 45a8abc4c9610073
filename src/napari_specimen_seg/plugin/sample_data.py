"""Sample data under File > Open Sample."""

from __future__ import annotations

from importlib.resources import as_file, files

from .layers import LayerData, image_layers


def tissue() -> list[LayerData]:
    """Open the stained tissue section that scikit-image ships; nothing is fetched.

    Returns
    -------
    list of LayerData
        512 x 512 RGB: colonic glands, immunohistochemistry with hematoxylin.

    Raises
    ------
    ReadError
        If this installation of scikit-image comes without its pictures.
    """
    from ..core.files.images import read_image

    with as_file(files("skimage.data") / "ihc.png") as path:
        return image_layers(read_image(path).replace(name="tissue"))


def specimen_sheet() -> list[LayerData]:
    """Draw a sheet of pinned beetles with a ruler.

    Returns
    -------
    list of LayerData
        640 x 1000 RGB, 0.05 mm per pixel.
    """
    from ..core.sample_sheet import draw_sheet

    return image_layers(draw_sheet()[0])
