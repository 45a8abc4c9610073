"""Sample data under File > Open Sample."""

from __future__ import annotations

from importlib.resources import as_file, files

from .layers import LayerData, image_layers, labels_layer


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


def labelled_beetles() -> list[LayerData]:
    """Cut the drawn sheet into four pictures with labels, to try a training or an evaluation with.

    Returns
    -------
    list of LayerData
        Four pictures of 640 x 500 RGB side by side, above each the parts of its beetle.
    """
    from ..core.sample_sheet import draw_sheet

    sheet, truth = draw_sheet()
    half = sheet.width // 2
    found: list[LayerData] = []
    for number in range(4):
        columns = slice(number % 2 * half, (number % 2 + 1) * half)
        rows = slice(None, None, -1 if number > 1 else 1)  # the second two upside down
        name = f"beetle {number + 1}"
        image = sheet.replace(data=sheet.data[rows, columns].copy(), name=name)
        labels = truth.replace(data=truth.data[rows, columns].copy(), name=f"{name} labels")
        for data, attributes, kind in (*image_layers(image), labels_layer(labels)):
            shift = {"translate": (0.0, number * (half + 20) * (sheet.pixel_size or 1.0))}
            found.append((data, {**attributes, **shift}, kind))
    return found
