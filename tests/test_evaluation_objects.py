"""Objects one by one: matches, splits, merges and counts, with answers by hand."""

import math

import numpy as np
import pytest

from napari_specimen_seg.core.classes import PRESETS, ClassMap
from napari_specimen_seg.core.image import SpecimenLabels
from napari_specimen_seg.evaluation.evaluate import evaluate
from napari_specimen_seg.evaluation.instances import THRESHOLDS, average_precision, overlaps

NUCLEI = PRESETS["nuclei"]
TWO = ClassMap.parse(
    {
        "classes": [
            {"id": 0, "name": "background", "color": "#000000"},
            {"id": 3, "name": "egg", "color": "#ff0000"},
            {"id": 9, "name": "larva", "color": "#00ff00"},
        ]
    }
)


def objects(*spans, length=40, owner=None):
    """One line of pixels with objects from start to stop."""
    line = np.zeros((1, length), np.uint16)
    for number, (start, stop) in enumerate(spans, start=1):
        line[0, start:stop] = number
    return SpecimenLabels(line, object_class=np.array([0, *(owner or [1] * len(spans))]))


def counted(truth, prediction, class_map=NUCLEI):
    return evaluate(truth, prediction, class_map).objects.iloc[0]


def test_perfect_objects():
    truth = objects((0, 10), (12, 20))
    found = counted(truth, objects((12, 20), (0, 10)))
    assert (found["objects"], found["predicted"], found["count_error"]) == (2, 2, 0)
    assert (found["ap"], found["ap_50"], found["ap_95"], found["f1_50"]) == (1, 1, 1, 1)
    assert (found["split"], found["merged"]) == (0, 0)


def test_matches_by_threshold_by_hand():
    # 10 pixels against 8 of them: IoU 0.8. Above 0.5 to 0.75, not above 0.8: six of ten thresholds.
    found = counted(objects((0, 10), (20, 30)), objects((0, 8), (32, 38)))
    assert found["ap_50"] == 1 / 3  # one match, one missed, one extra
    assert found["ap_75"] == 1 / 3
    assert found["ap_80"] == 0
    assert found["ap"] == pytest.approx(6 / 10 / 3)
    assert found["f1_50"] == 2 * 1 / 4


@pytest.mark.parametrize("step", range(10))
def test_an_overlap_of_exactly_the_threshold_is_no_match(step):
    share = 10 + step  # twentieths
    exactly = evaluate(objects((0, 20)), objects((0, share)), NUCLEI).object_counts[0]
    assert average_precision(exactly)[1].tolist() == [1.0] * step + [0.0] * (10 - step)
    assert round(share / 20, 2) == THRESHOLDS[step]


def test_a_split_object():
    found = counted(objects((0, 20)), objects((0, 9), (10, 19)))
    assert (found["split"], found["merged"], found["count_error"]) == (1, 0, 1)
    assert found["ap_50"] == 0


def test_a_merge_of_two_objects():
    found = counted(objects((0, 9), (10, 19)), objects((0, 19)))
    assert (found["split"], found["merged"], found["count_error"]) == (0, 1, -1)


def test_touching_a_neighbour_is_no_merge():
    found = counted(objects((0, 10), (10, 20)), objects((0, 14), (14, 20)))
    assert (found["split"], found["merged"]) == (0, 0)


def test_objects_of_another_class_do_not_match():
    truth = objects((0, 10), (20, 30), owner=[3, 9])
    table = evaluate(truth, objects((0, 10), (20, 30), owner=[9, 9]), TWO).objects.set_index("class")
    assert table.loc["egg", ["objects", "predicted", "ap_50"]].tolist() == [1, 0, 0]
    assert table.loc["larva", ["objects", "predicted", "ap_50"]].tolist() == [1, 2, 0.5]


def test_no_objects_at_all_is_undefined_and_left_out_of_the_mean():
    some, none = objects((0, 10)), objects()
    scores = evaluate([some, none], [some, none], NUCLEI)
    assert math.isnan(scores.images.set_index("image")["object_ap"]["picture 2"])
    assert scores.overall["object_ap"] == 1
    assert evaluate(none, some, NUCLEI).overall["object_ap"] == 0


def test_count_errors_of_pictures_do_not_cancel_in_their_mean():
    one, two = objects((0, 10)), objects((0, 10), (20, 30))
    found = evaluate([one, two], [two, one], NUCLEI).objects.iloc[0]
    assert (found["count_error"], found["count_error_mean"]) == (0, 1)


def test_pixels_are_scored_by_class_whatever_the_numbers():
    truth, said = objects((0, 10), (20, 30)), objects((20, 30), (0, 5))
    nucleus = evaluate(truth, said, NUCLEI).classes.set_index("class").loc["nucleus"]
    assert (nucleus["iou"], nucleus["support"]) == (15 / 20, 20)


def test_class_labels_are_separated_when_asked_for_or_when_the_truth_has_objects():
    mask = np.zeros((12, 30), np.uint8)
    mask[2:10, 2:10] = mask[2:10, 18:26] = 1
    assert evaluate(mask, mask, NUCLEI).objects is None
    asked = evaluate(mask, mask, NUCLEI, instances=True).objects.iloc[0]
    numbered = SpecimenLabels(
        mask * np.where(np.arange(30) < 15, 1, 2).astype(np.uint8), object_class=np.array([0, 1, 1])
    )
    given = evaluate(numbered, mask, NUCLEI).objects.iloc[0]
    for found in (asked, given):
        assert found[["objects", "predicted", "ap"]].tolist() == [2, 2, 1]


def test_ignored_pixels_belong_to_no_object():
    truth = objects((0, 10), (20, 30), owner=[3, 9])
    said = objects((0, 10), (20, 30), owner=[3, 3])
    egg = evaluate(truth, said, TWO, ignore=[9]).objects.set_index("class").loc["egg"]
    assert egg[["objects", "predicted", "ap"]].tolist() == [1, 1, 1]


def test_numbers_may_be_sparse_large_and_repeat_in_no_other_plane():
    truth = SpecimenLabels(np.array([[[0, 70000]], [[70000, 5]]], np.uint32), axes="ZYX")
    found = overlaps(truth, truth)
    assert found.true_area[[5, 70000]].tolist() == [1, 2]
    assert found.shared.tolist() == [1, 2]


def test_stardist_like_dense_matrix_gives_the_same_matches():
    random = np.random.default_rng(3)
    truth, said = (np.repeat(random.integers(0, 9, (6, 6)), 4, 0).repeat(4, 1) for _ in range(2))
    said = np.where(random.random(truth.shape) < 0.6, truth, said)
    owner = np.array([0] + [1] * 8)
    pair = [SpecimenLabels(a, object_class=owner) for a in (truth, said)]
    ours = evaluate(*pair, NUCLEI).object_counts[0, 1]
    union = {(t, p): np.sum((truth == t) | (said == p)) for t in range(1, 9) for p in range(1, 9)}
    shared = {(t, p): np.sum((truth == t) & (said == p)) for t in range(1, 9) for p in range(1, 9)}
    expected = [sum(shared[k] / union[k] > t for k in union if union[k]) for t in THRESHOLDS]
    assert ours[2:12].tolist() == expected


def test_real_nuclei_of_the_data_set_are_found_in_themselves(shared):
    tifffile = pytest.importorskip("tifffile")
    files = sorted((shared / "data" / "dsb2018" / "val" / "labels").glob("*.tif"))[:2]
    labels = [tifffile.imread(f) for f in files]
    truth = [SpecimenLabels(a, object_class=np.minimum(np.arange(a.max() + 1), 1)) for a in labels]
    found = evaluate(truth, truth, NUCLEI).objects.iloc[0]
    assert found["objects"] == sum(int(a.max()) for a in labels)
    assert (found["ap"], found["split"], found["merged"]) == (1, 0, 0)
