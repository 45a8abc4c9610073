import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_specimen_seg.core.files.images import read_image
from napari_specimen_seg.core.files.pixel_size import (
    from_aperio,
    from_density,
    from_imagej,
    from_lengths,
    from_ome,
)

GRAY = np.zeros((4, 6), np.uint8)


@pytest.mark.parametrize(
    ("density", "unit", "millimetres"),
    [
        ((300, 300), "inch", (0.0846667, 0.0846667)),
        ((600, 1200), "inch", (0.0211667, 0.0423333)),
        ((400, 400), "cm", (0.025, 0.025)),
        ((40000, 40000), "m", (0.025, 0.025)),
        ((100, 100), "inch", (0.254, 0.254)),
    ],
)
def test_density(density, unit, millimetres):
    """x and y pixels per unit give the height and width of a pixel."""
    scale = from_density(*density, unit)
    assert scale.spacing("YXC") == pytest.approx(millimetres, rel=1e-5)
    assert scale.unit == "mm"


@pytest.mark.parametrize(
    ("density", "unit"),
    [
        ((72, 72), "inch"),
        ((96, 96), "inch"),
        ((71.9836, 71.9836), "inch"),
        ((28.35, 28.35), "cm"),
        ((37.79, 37.79), "cm"),
        ((38, 38), "cm"),
        ((2835, 2835), "m"),
        ((3780, 3780), "m"),
        ((1, 1), "inch"),
        ((0, 0), "inch"),
        ((float("inf"), 300), "inch"),
        ((float("nan"), 300), "cm"),
        ((None, None), "inch"),
    ],
)
def test_placeholders_are_not_believed(density, unit):
    assert from_density(*density, unit).spacing("YX") is None


@given(st.floats(150, 10000), st.floats(150, 10000))
def test_real_densities_are_believed(x, y):
    height, width = from_density(x, y, "inch").spacing("YX")
    assert height * y == pytest.approx(25.4)
    assert width * x == pytest.approx(25.4)


@pytest.mark.parametrize("unit", ["micron", "µm", "\\u00B5m", "um", "μm"])
def test_imagej(unit):
    scale = from_imagej({"unit": unit, "spacing": -2.0}, 4, 8)
    assert scale.spacing("ZYX") == (2.0, 0.125, 0.25)
    assert scale.unit == "um"


@pytest.mark.parametrize("unit", ["pixel", "", None, "sec", "furlong"])
def test_imagej_without_a_length(unit):
    assert from_imagej({"unit": unit}, 4, 4).spacing("YX") is None


def test_lengths_in_units_of_their_own():
    scale = from_lengths({"X": (500.0, "nm"), "Y": (0.25, "µm"), "Z": (0.002, "mm")})
    assert scale.spacing("ZYX") == pytest.approx((2000.0, 250.0, 500.0))
    assert scale.unit == "nm"
    assert from_lengths({"X": (5.0, "Å"), "Y": (5.0, "Å")}).spacing("YX") == (0.5, 0.5)


@pytest.mark.parametrize("unit", ["pixel", "reference frame", None, "s"])
def test_lengths_that_are_none(unit):
    assert from_lengths({"X": (0.5, unit), "Y": (0.5, unit)}).spacing("YX") is None


def test_ome_default_unit_is_micrometre():
    pixels = '<Pixels PhysicalSizeX="0.5" PhysicalSizeY="0.25" SignificantBits="12"/>'
    found = from_ome(f'<OME xmlns="x"><Image>{pixels}</Image></OME>')
    assert found.scale.spacing("YX") == (0.25, 0.5)
    assert found.scale.unit == "um"
    assert found.bits == 12


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "<",
        "<OME/>",
        "<OME><Image><Pixels PhysicalSizeX='-1' PhysicalSizeY='x' SignificantBits='many'/></Image></OME>",
    ],
)
def test_ome_that_says_nothing(xml):
    found = from_ome(xml)
    assert found.scale.spacing("YX") is None
    assert found.bits is None


def test_aperio():
    assert from_aperio("Aperio Image Library|AppMag = 40|MPP = 0.2527|").spacing("YX") == (0.2527, 0.2527)
    assert from_aperio("Aperio").spacing("YX") is None


# -- the same from files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolution", "unit", "spacing"),
    [
        ((300, 600), "INCH", (0.0423333, 0.0846667)),
        ((400, 400), "CENTIMETER", (0.025, 0.025)),
        ((300, 300), "NONE", None),
        ((72, 72), "INCH", None),
    ],
)
def test_tiff_tags(tmp_path, resolution, unit, spacing):
    tifffile.imwrite(tmp_path / "a.tif", GRAY, resolution=resolution, resolutionunit=unit, metadata=None)
    image = read_image(tmp_path / "a.tif")
    assert image.spacing == (None if spacing is None else pytest.approx(spacing, rel=1e-5))
    assert image.unit == ("pixel" if spacing is None else "mm")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
def test_other_formats(tmp_path, name):
    Image.fromarray(GRAY).save(tmp_path / name, dpi=(600, 300))
    image = read_image(tmp_path / name)
    assert image.spacing == pytest.approx((25.4 / 300, 25.4 / 600), rel=1e-3)
    assert image.unit == "mm"


def test_resolution_of_a_camera_is_not_a_scale(tmp_path):
    """A lens knows nothing of the distance; cameras write 300 dpi all the same."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x920A] = 50.0
    Image.fromarray(GRAY).save(tmp_path / "a.jpg", dpi=(300, 300), exif=exif)
    assert read_image(tmp_path / "a.jpg").spacing is None


def test_png_ratio_without_unit(tmp_path):
    """Unit 0 in pHYs says how wide pixels are compared to their height, and no more."""
    Image.fromarray(GRAY).save(tmp_path / "a.png", dpi=(300, 300))
    content = (tmp_path / "a.png").read_bytes()
    start = content.index(b"pHYs")
    chunk = content[start : start + 12] + b"\0"
    changed = content[:start] + chunk + zlib.crc32(chunk).to_bytes(4, "big") + content[start + 17 :]
    (tmp_path / "a.png").write_bytes(changed)
    assert read_image(tmp_path / "a.png").spacing is None
