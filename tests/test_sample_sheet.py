import numpy as np
import pytest

from napari_specimen_seg.core.errors import WriteError
from napari_specimen_seg.core.files.images import read_image
from napari_specimen_seg.core.sample_sheet import MM_PER_PIXEL, draw_sheet, write_sheet


@pytest.fixture(scope="module")
def sheet():
    return draw_sheet()


def test_the_same_every_time(sheet):
    again = draw_sheet()
    np.testing.assert_array_equal(again[0].data, sheet[0].data)
    np.testing.assert_array_equal(again[1].data, sheet[1].data)


def test_every_class_is_there(sheet):
    image, truth = sheet
    assert set(np.unique(truth.data)) == set(truth.class_map.ids)
    assert truth.data.shape == image.data.shape[:2]
    assert image.pixel_size == truth.pixel_size == MM_PER_PIXEL


def test_area_of_a_pin_is_that_of_its_circle(sheet):
    """Half an axis is 0.042 body lengths; the beetles are 400 and 380 pixels long."""
    pins = int((sheet[1].data == sheet[1].class_map.by_name("pin").id).sum())
    assert pins == pytest.approx(np.pi * 0.042**2 * (400**2 + 380**2), rel=0.01)


def test_ruler_has_forty_millimetres(sheet):
    """Strokes of the ruler are dark; there is one per millimetre, 20 pixels apart."""
    row = sheet[0].data[572, 95:926].mean(axis=-1) < 140
    starts = np.flatnonzero(row[1:] & ~row[:-1])
    assert len(starts) == 41
    assert np.abs(np.diff(starts) - 1 / MM_PER_PIXEL).max() <= 1


def test_beetles_are_darker_than_the_paper(sheet):
    image, truth = sheet
    assert image.data[truth.data == 5].mean() < 80
    assert image.data[truth.data == 0].mean() > 180


def test_written_with_its_pixel_size(tmp_path, sheet):
    image = read_image(write_sheet(tmp_path / "sheet.tif"))
    np.testing.assert_array_equal(image.data, sheet[0].data)
    assert image.spacing == pytest.approx((MM_PER_PIXEL, MM_PER_PIXEL))
    assert image.unit == "mm"
    with pytest.raises(WriteError, match="exists"):
        write_sheet(tmp_path / "sheet.tif")
