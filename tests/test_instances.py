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


def test_what_hangs_on_by_a_corner_belongs_to_its_own_part():
    labels = discs((20, 20), (20, 37))
    labels[31, 43] = labels[32, 44] = 0
    corner = np.argwhere(labels)[-1] + 1  # touches the last pixel of the lower edge at its corner only
    labels[tuple(corner)] = 1
    labels[50:53, 50:53] = 2
    objects, classes = separate(labels)
    assert label(labels > 0, connectivity=2).max() == 2
    assert (classes[objects] == labels).all()
    assert classes.tolist() == [0, 1, 1, 2]
    assert objects[tuple(corner)] in (1, 2)


def whole_part_cut(mask):
    """One part cut as the definition says, without any short cut."""
    from scipy import ndimage
    from skimage.morphology import local_maxima, reconstruction
    from skimage.segmentation import watershed

    from napari_specimen_seg.core.necks import MIN_DEPTH, NECK, ROUND_SHARE

    padded = np.pad(mask, 1)
    distance = ndimage.distance_transform_edt(padded)
    lowered = np.clip(np.minimum(distance * NECK, distance - MIN_DEPTH), 0, None)
    filled = reconstruction(lowered, distance, method="dilation")
    markers, count = ndimage.label(local_maxima(filled, connectivity=2) & (filled > 0), np.ones((3, 3)))
    radii = ndimage.maximum(distance, markers, np.arange(1, count + 1))
    if count < 2 or np.pi * np.square(radii).sum() < ROUND_SHARE * mask.sum():
        return mask.astype(int)
    pieces = watershed(-distance, markers, mask=padded)
    return watershed(-distance, pieces, mask=padded, connectivity=2)[1:-1, 1:-1]


@pytest.mark.parametrize("seed", range(4))
def test_parts_are_cut_as_the_definition_says(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((150, 160), np.uint8)
    for _ in range(45):
        labels[disk(rng.integers(0, 150, 2), rng.integers(3, 14), shape=labels.shape)] = rng.integers(0, 3)
    parts = sum(np.where(labels == i, label(labels == i, connectivity=2) + 1000 * i, 0) for i in (1, 2))
    objects, classes = separate(labels)
    assert classes.size - 1 > np.unique(parts[parts > 0]).size
    for number in np.unique(parts[parts > 0]):
        mask = parts == number
        found = objects[mask]
        np.testing.assert_array_equal(found - found.min() + 1, whole_part_cut(mask)[mask])


def test_specks_belong_to_the_specimen_with_the_nearest_pixel():
    from scipy.spatial.distance import cdist

    rng = np.random.default_rng(1)
    labels = discs((14, 14), (45, 45), (14, 45), radius=9)
    for row, column in rng.integers(0, 59, (40, 2)):
        labels[row, column : column + 2] = 1
    numbers, count = find_specimens(labels)
    assert count == 3
    parts = label(labels, connectivity=2)
    large = [i for i, size in enumerate(np.bincount(parts.ravel())) if i and size > 100]
    places = {numbers[parts == i][0]: np.argwhere(parts == i) for i in large}
    assert sorted(places) == [1, 2, 3]
    for speck in set(range(1, parts.max() + 1)) - set(large):
        far = {n: cdist(np.argwhere(parts == speck), where).min() for n, where in places.items()}
        assert far[numbers[parts == speck][0]] == min(far.values())
