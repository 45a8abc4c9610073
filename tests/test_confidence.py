import numpy as np
import pytest
import tifffile

from napari_specimen_seg.core.errors import WriteError
from napari_specimen_seg.core.files import confidence, read_image
from napari_specimen_seg.core.files.confidence import is_confidence, write_confidence
from napari_specimen_seg.core.image import SpecimenImage

VALUES = np.array([[0.0, 0.25, 1.0], [0.5, 0.125, 0.75]], np.float32)


def picture(axes: str = "YX", shape=(2, 3)) -> SpecimenImage:
    spacing = (0.5, 0.25) if axes in ("YX", "YXC") else (1.0, 0.5, 0.25)
    return SpecimenImage(np.zeros(shape, np.uint8), axes=axes, spacing=spacing, unit="mm")


def test_numbers_and_pixel_size_come_back(tmp_path):
    path = write_confidence(tmp_path / "x.tif", VALUES, picture("YXC", (2, 3, 3)))
    found = read_image(path)
    assert found.data.dtype == np.float32
    np.testing.assert_array_equal(found.data, VALUES)
    assert (found.pixel_size_yx, found.unit) == ((0.5, 0.25), "mm")


def test_stacks_keep_their_planes(tmp_path):
    values = np.stack([VALUES, VALUES / 2])
    path = write_confidence(tmp_path / "x.tif", values, picture("ZYX", (2, 2, 3)))
    np.testing.assert_array_equal(tifffile.imread(path), values)


def test_the_same_numbers_give_the_same_bytes_also_where_imagej_is_at_its_end(tmp_path, monkeypatch):
    a, b = (write_confidence(tmp_path / name, VALUES, picture()).read_bytes() for name in ("a.tif", "b.tif"))
    assert a == b
    monkeypatch.setattr(confidence, "IMAGEJ_BYTES", 1)
    large = write_confidence(tmp_path / "large.tif", VALUES, picture())
    np.testing.assert_array_equal(tifffile.imread(large), VALUES)


def test_nothing_is_replaced_unasked(tmp_path):
    path = write_confidence(tmp_path / "x.tif", VALUES, picture())
    with pytest.raises(WriteError, match="exists"):
        write_confidence(path, VALUES, picture())
    write_confidence(path, VALUES, picture(), overwrite=True)


def test_a_confidence_picture_is_told_by_name_and_content(tmp_path):
    assert is_confidence(write_confidence(tmp_path / "x_confidence.tif", VALUES, picture()))
    assert not is_confidence(write_confidence(tmp_path / "x.tif", VALUES, picture()))
    tifffile.imwrite(tmp_path / "y_confidence.tif", np.ones((2, 2), np.uint8))
    (tmp_path / "z_confidence.tif").touch()
    assert not is_confidence(tmp_path / "y_confidence.tif")
    assert not is_confidence(tmp_path / "z_confidence.tif")
    assert not is_confidence(tmp_path / "absent_confidence.tif")
