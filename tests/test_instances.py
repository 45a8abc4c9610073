"""Objects that touch are cut; long ones and single ones are not."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import disk, line
from skimage.measure import label

from napari_specimen_seg.core import cutting, necks
from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import MeasureError, SpecimenWarning
from napari_specimen_seg.core.image import SpecimenLabels
from napari_specimen_seg.core.instances import find_specimens, separate
from napari_specimen_seg.core.saddles import summits


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


# -- parts with very many tops ---------------------------------------------------------------------


def field(seed, side, smooth):
    """Return heights as in a landscape, the same for the same seed."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), smooth, mode="wrap")


def net(seed=0, side=600, smooth=4.0, share=0.45):
    """Return walls between blobs, nearly all of them connected."""
    heights = np.abs(field(seed, side, smooth))
    return (heights < np.quantile(heights, share)).astype(np.uint8)


@pytest.fixture(params=["top by top", "all at once"])
def way(request, monkeypatch):
    """Every part is looked at in one of the two ways, none is seen through before."""
    monkeypatch.setattr(necks, "_LOOKS", -1)
    monkeypatch.setattr(necks, "_FILLS", 10**9 if request.param == "top by top" else 0)


def test_saddles_of_a_row():
    heights = np.array([[1, 5, 2, 9, 9, 3, 4, 1, 6, 2, 7]], np.float32)
    parts = np.array([[1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2]], np.uint32)
    tops, basins = summits(parts, heights, np.array([False, True, True]))
    assert tops.height.tolist() == [9, 7, 6, 5, 4]
    assert tops.part.tolist() == [1, 2, 1, 1, 1]
    assert tops.higher.tolist() == [0, 1, 2, 0, 0]  # 6 stands beyond the lowest, 7 in another part
    assert tops.saddle.tolist() == [1, 1, 1, 2, 3]
    # 2 and 3 lead up to the higher of their neighbours; 1, the lowest, belongs to none
    assert basins.tolist() == [[0, 4, 1, 1, 1, 1, 5, 0, 3, 2, 2]]
    assert (summits(parts, heights, np.array([False, False, True]))[1] > 0).sum() == 2


def test_level_ground_is_one_top():
    heights = np.full((5, 300), 4, np.float32)
    heights[2, 150] = 9
    heights[:, 200] = 2
    tops, basins = summits(np.ones(heights.shape, np.uint32), heights, np.array([False, True]))
    assert tops.height.tolist() == [9, 4, 4]
    assert tops.higher.tolist() == [0, 0, 0]
    assert tops.saddle.tolist() == [1, 4, 2]
    assert basins[0, [0, 199, 200, 201, 299]].tolist() == [2, 2, 2, 3, 3]
    assert (basins[1:4, 149:152] == 1).all()


@pytest.mark.usefixtures("way")
def test_beads_of_a_net_are_numbered_in_reading_order():
    labels = np.zeros((76, 76), np.uint8)
    for row in (14, 38, 62):
        labels |= discs((row, 14), (row, 38), (row, 62), shape=(76, 76))
        labels[row - 1 : row + 2, 14:62] = labels[14:62, row - 1 : row + 2] = 1
    objects, classes = separate(labels)
    assert objects[14:63:24, 14:63:24].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert classes.tolist() == [0] + 9 * [1]
    assert [objects[14, 25], objects[14, 27], objects[50, 62], objects[49, 62]] == [1, 2, 9, 6]


@pytest.mark.usefixtures("way")
@given(st.integers(0, 2**32 - 1), st.floats(0, 5), st.floats(0.2, 0.9), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nets_and_blobs_are_cut_as_the_definition_says(seed, smooth, share, walls):
    heights = np.abs(field(seed, 60, smooth)) if walls else field(seed, 60, smooth)
    labels = (heights < np.quantile(heights, share)).astype(np.uint8)
    parts = label(labels, connectivity=2)
    objects, _ = separate(labels)
    for number in range(1, parts.max() + 1):
        mask = parts == number
        found = objects[mask]
        np.testing.assert_array_equal(found - found.min() + 1, whole_part_cut(mask)[mask])


def test_both_ways_lead_to_the_same(monkeypatch):
    labels = np.digitize(field(3, 300, 4), [-0.03, 0, 0.03])
    found = []
    for looks, fills in ((2, 64), (-1, 10**9), (-1, 0), (10**9, 0)):
        monkeypatch.setattr(necks, "_LOOKS", looks)
        monkeypatch.setattr(necks, "_FILLS", fills)
        found.append(separate(labels)[0])
    assert found[0].max() > label(labels, connectivity=2).max() + 50
    assert all((found[0] == other).all() for other in found[1:])


def bytes_a_pixel(labels):
    """Return how much memory separating takes at most, the result included."""
    separate(labels[:50, :50])
    tracemalloc.start()
    separate(labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / labels.size


def test_memory_grows_with_the_pixels_of_a_net_alone():
    # Ways from every top to the highest would take 500 bytes a pixel, and more the larger the net is.
    assert separate(net())[1].size > 800
    assert bytes_a_pixel(net()) < 60


def test_memory_does_not_grow_with_the_boxes_of_stripes():
    row, column = np.indices((500, 500))
    assert bytes_a_pixel(((row + column) % 10 < 5).astype(np.uint8)) < 40


def test_the_work_on_a_net_grows_with_its_pixels_alone(monkeypatch):
    looked, filled = [], []
    whole, numbered = necks._some_fall, necks._numbered

    def some_fall(tops, start, end, *planes):
        looked.append(int(necks._between(tops, start, end).sum()))
        return whole(tops, start, end, *planes)

    monkeypatch.setattr(necks, "_some_fall", some_fall)
    monkeypatch.setattr(necks, "_numbered", lambda mask: filled.append(mask.size) or numbered(mask))
    for side in (300, 600):
        looked.clear()
        filled.clear()
        separate(net(side=side))
        assert sum(looked) <= 3 * necks._LOOKS * side**2
        assert max(looked) <= necks._TOGETHER + side
        assert sum(filled) <= 6 * side**2


def test_what_hangs_on_two_pieces_is_given_to_one_in_large_parts_as_well(monkeypatch):
    labels = (field(5, 400, 2.5) < 0.02).astype(np.uint8)
    objects, classes = separate(labels)
    monkeypatch.setattr(cutting, "_given", lambda pieces, left: False)
    always, _ = separate(labels)
    np.testing.assert_array_equal(always, objects)
    monkeypatch.setattr(cutting, "LARGE", 0)
    there, _ = separate(labels)
    assert (classes[there] == labels).all()
    assert (there != objects).sum() <= 5


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
