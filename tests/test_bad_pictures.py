"""Real awkward files against independent decoders, and hostile files against their manifest."""

import json
import sys
import warnings
from functools import partial

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from napari_specimen_seg.core.errors import ReadError, SpecimenError, SpecimenWarning
from napari_specimen_seg.core.files.images import read_image
from napari_specimen_seg.core.image import COLORS, SpecimenImage
from napari_specimen_seg.core.preprocessing import Preprocessing

pytestmark = pytest.mark.filterwarnings("ignore::napari_specimen_seg.core.errors.SpecimenWarning")

DAMAGED = {
    "broken.png",
    "broken_data_stream.png",
    "decompression_bomb.gif",
    "truncated.jpg",
    "truncated_image.png",
    "truncated_jpeg.jpg",
}

NEAR = {"hopper.Lab.tif": 9}
"""How far off Pillow, which computes with whole numbers, may be at most."""

BY_THEMSELVES = {"i_trns.png", "tiff_16bit_RGBa.tiff", "tiff_strip_planar_16bit_RGBa.tiff"}
"""16 bits with transparency, which Pillow cuts to 8: tests of their own follow."""


def _pictures(shared):
    folder = shared / "data" / "readers"
    skipped = ("LICENSE", "README")
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(skipped))
    return sorted(path for path in files if ".zarr" not in str(path))


def _truths(path):
    """Yield what others make of a file: Pillow in several modes, and tifffile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for look in (_upright, _all_planes, *(partial(_upright, mode=mode) for mode in ("L", "RGB", "RGBA"))):
            try:
                with Image.open(path) as picture:
                    yield look(picture)
            except (OSError, ValueError):
                pass  # a kind of TIFF, or a conversion, that Pillow does not know
    if path.suffix.startswith(".tif"):
        values = tifffile.imread(path)
        yield values
        yield np.moveaxis(values, -3, -1) if values.ndim > 2 else values


def _upright(picture, mode=None):
    shown = ImageOps.exif_transpose(picture)
    return np.asarray(shown.convert(mode) if mode else shown)


def _all_planes(picture):
    planes = [_plane(picture, number) for number in range(getattr(picture, "n_frames", 1))]
    return np.stack([plane for plane in planes if plane.shape == planes[0].shape])


def _plane(picture, number):
    picture.seek(number)
    return np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)


def test_awkward_files_have_the_pixels_that_others_see(shared):
    paths = [path for path in _pictures(shared) if path.name not in DAMAGED | BY_THEMSELVES]
    assert len(paths) > 80
    for path in paths:
        found = np.asarray(read_image(path).data)
        same = [truth for truth in _truths(path) if truth.shape == found.shape]
        near = NEAR.get(path.name, 0)
        assert any(np.array_equal(found, t) or _distance(found, t) <= near for t in same), path.name


def test_damaged_files_are_one_line(shared):
    paths = [path for path in _pictures(shared) if path.name in DAMAGED]
    assert len(paths) == len(DAMAGED)
    for path in paths:
        with pytest.raises(ReadError) as caught:
            read_image(path)
        assert "\n" not in str(caught.value)


def test_deep_transparency(shared):
    folder = shared / "data/readers/pillow"
    gray = np.asarray(Image.open(folder / "i_trns.png"))
    np.testing.assert_array_equal(
        read_image(folder / "i_trns.png").data[..., :3], gray[..., None].repeat(3, -1)
    )
    for name in ("tiff_16bit_RGBa.tiff", "tiff_strip_planar_16bit_RGBa.tiff"):
        stored = tifffile.imread(folder / name).astype(float)
        stored = stored if stored.shape[-1] == 4 else np.moveaxis(stored, 0, -1)
        found = read_image(folder / name).data
        np.testing.assert_array_equal(found[..., 3], stored[..., 3])
        # Multiplied by its transparency again, the colour is what stands in the file.
        assert np.abs(found[..., :3] * (stored[..., 3:] / 65535) - stored[..., :3]).max() <= 0.51


def _distance(found, truth):
    return float(np.abs(found.astype(float) - truth.astype(float)).max())


def test_orientations_are_upright(shared):
    """The portraits of one series differ only in how they are stored."""
    folder = shared / "data/readers/exif_orientation"
    upright = [read_image(folder / f"Portrait_{n}.jpg").data.astype(float) for n in (3, 6, 8)]
    assert {picture.shape for picture in upright} == {(1800, 1200, 3)}
    assert max(np.abs(upright[0] - other).mean() for other in upright[1:]) < 4


# -- hostile files -------------------------------------------------------------------------------------


def _items(shared):
    items = json.loads((shared / "bad_inputs/manifest.json").read_text())["items"]
    wanted = ("image/", "pair/", "path/")
    # Whether masks fit their pictures, and which picture a name means, is asked where they are paired.
    skipped = ("_mask.png", "dup_stem", "nfc_nfd")
    return [i for i in items if i["id"].startswith(wanted) and not any(s in i["path"] for s in skipped)]


def test_hostile_files_do_what_the_manifest_expects(shared):
    items = _items(shared)
    assert len(items) > 45
    for item in items:
        expected = "error" if item["expect"] == "refuse" else item["expect"]
        assert _outcome(shared / "bad_inputs" / item["path"]) == expected, item["id"]


def _outcome(path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _use(read_image(path))
        except SpecimenError as error:
            return "error" if "\n" not in str(error) else "several lines"
    foreign = [str(w.message) for w in caught if not issubclass(w.category, SpecimenWarning)]
    assert not foreign
    return "warn" if caught else "ok"


def _use(image: SpecimenImage):
    """Look at the values as a model does; a model for colour cannot take stains."""
    if image.channels > 1 and image.channel_names[:3] != COLORS:
        raise ReadError("stains are no colours")
    plane = np.asarray(image.data)[(0,) * len(image.planes())]
    Preprocessing().value_range(plane, name=image.name, bit_depth=image.bit_depth)


@pytest.mark.skipif(sys.platform == "win32", reason="memory is told in another way there")
@pytest.mark.parametrize("name", ["header_100k.tif", "header_65500.jpg"])
def test_headers_that_lie_take_no_memory(shared, name):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ReadError):
        read_image(shared / "bad_inputs/image" / name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000_000 / 1024
