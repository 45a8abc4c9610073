"""Objects that touch are cut; long ones and single ones are not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import disk, line
from skimage.measure import label

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import MeasureError, SpecimenWarning
from napari_specimen_seg.core.image import SpecimenLabels
from napari_specimen_seg.core.instances import find_specimens, separate


def discs(*centres, radius=10, shape=(60, 60), value=1):
    labels = np.zeros(shape, np.uint8)
    for centre in centres:
        labels[disk(centre, radius, shape=shape)] = value
    return labels


def test_two_discs_that_touch_are_two():
    objects, classes = separate(discs((20, 20), (20, 37)), PRESETS["nuclei"])
    assert classes.tolist() == [0, 1, 1]
    assert objects.dtype == np.uint16
    assert objects[20, 14] == 1
    assert objects[20, 43] == 2
    left, right = np.bincount(objects.ravel())[1:]
    assert abs(int(left) - int(right)) <= 0.05 * left


@pytest.mark.parametrize("magnification", [1, 2, 4])
def test_the_magnification_does_not_matter(magnification):
    small = discs((20, 20), (20, 37), (36, 28))
    large = small.repeat(magnification, 0).repeat(magnification, 1)
    assert separate(large)[1].size == 4


def test_one_disc_and_one_long_line_stay_whole():
    assert separate(discs((30, 30), radius=20))[1].size == 2
    bar = np.zeros((60, 60), np.uint8)
    bar[line(5, 3, 50, 55)] = 1
    assert separate(bar)[1].size == 2
    assert separate(label(np.eye(40) + np.eye(40, k=1)).astype(np.uint8))[1].size == 2


def test_classes_do_not_mix():
    labels = discs((20, 20))
    labels[:, 20:] = np.where(labels[:, 20:] > 0, 2, 0)
    objects, classes = separate(labels)
    assert sorted(classes.tolist()) == [0, 1, 2]
    assert (classes[objects] == labels).all()


def test_planes_have_their_own_objects():
    stack = np.stack([discs((20, 20)), discs((30, 30)), np.zeros((60, 60), np.uint8)])
    objects, classes = separate(SpecimenLabels(stack, axes="ZYX"))
    assert [sorted(set(plane.ravel().tolist())) for plane in objects] == [[0, 1], [0, 2], [0]]
    assert classes.tolist() == [0, 1, 1]


def test_more_objects_than_16_bits_hold():
    grid = np.zeros((514, 514), np.uint8)
    grid[::2, ::2] = 1
    objects, classes = separate(grid)
    assert objects.dtype == np.uint32
    assert classes.size - 1 == objects.max() == 257 * 257


def test_values_without_a_class_are_told():
    with pytest.warns(SpecimenWarning, match="does not have label 7"):
        separate(discs((20, 20), value=7), PRESETS["nuclei"])


def test_floats_are_no_labels():
    with pytest.raises(MeasureError, match="whole numbers"):
        separate(np.ones((4, 4)))


masks = arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.integers(0, 2))


@given(masks)
@settings(max_examples=60, deadline=None)
def test_every_pixel_belongs_to_one_object_of_its_class(labels):
    objects, classes = separate(labels)
    assert (classes[objects] == labels).all()
    assert np.unique(objects[objects > 0]).size == classes.size - 1
    again, _ = separate(labels.copy())
    assert (again == objects).all()


@given(masks)
@settings(max_examples=60, deadline=None)
def test_no_pixel_is_left_out_of_a_specimen(labels):
    numbers, count = find_specimens(labels)
    assert ((numbers > 0) == (labels > 0)).all()
    assert sorted(set(numbers[numbers > 0].tolist())) == list(range(1, count + 1))
    parts = label(labels > 0, connectivity=2)
    for part in range(1, parts.max() + 1):
        assert np.unique(numbers[parts == part]).size == 1


def test_nuclei_are_counted(shared):
    import tifffile

    paths = sorted((shared / "data/dsb2018/val/labels").glob("*.tif"))
    truth = [np.unique(tifffile.imread(path)).size - 1 for path in paths]
    found = [separate((tifffile.imread(path) > 0).astype(np.uint8))[1].size - 1 for path in paths]
    assert sum(found) == pytest.approx(sum(truth), rel=0.06)
    errors = [abs(a - b) / max(a, 1) for a, b in zip(truth, found, strict=True)]
    assert np.mean(errors) < 0.06
