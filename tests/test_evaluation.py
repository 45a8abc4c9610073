"""Pixel scores: answers by hand, undefined cases, other libraries' answers, and what must not matter."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_specimen_seg.core.classes import ClassMap
from napari_specimen_seg.core.errors import MeasureError, SpecimenWarning
from napari_specimen_seg.core.image import SpecimenLabels
from napari_specimen_seg.evaluation.counts import count_picture
from napari_specimen_seg.evaluation.evaluate import evaluate
from napari_specimen_seg.evaluation.result import Scores, row_shares
from napari_specimen_seg.evaluation.settings import EvaluateSettings


def classes(*names, ids=None):
    ids = ids or range(1, len(names) + 1)
    colors = ((i, n, f"#{i:02x}80ff") for i, n in zip(ids, names, strict=True))
    rows = [{"id": 0, "name": "background", "color": "#000000"}]
    return ClassMap.parse({"classes": rows + [{"id": i, "name": n, "color": c} for i, n, c in colors]})


AB = classes("a", "b")
TRUTH = np.array([[1, 1, 1, 1], [0, 0, 2, 2], [0, 0, 0, 0]], np.uint8)
SAID = np.array([[1, 1, 0, 2], [0, 1, 2, 2], [0, 0, 0, 0]], np.uint8)


def row(scores, name):
    return scores.classes.set_index("class").loc[name]


def test_each_score_by_hand():
    scores = evaluate(TRUTH, SAID, AB)
    assert scores.confusion.to_numpy().tolist() == [[5, 1, 0, 0], [1, 2, 1, 0], [0, 0, 2, 0]]
    a = row(scores, "a")  # 2 found, 1 extra, 2 missed
    assert a[["iou", "dice", "precision", "recall", "f1"]].tolist() == [2 / 5, 4 / 7, 2 / 3, 2 / 4, 4 / 7]
    assert (a["support"], a["support_pictures"]) == (4, 1)
    assert row(scores, "b")[["iou", "precision", "recall"]].tolist() == [2 / 3, 2 / 3, 1]
    assert row(scores, "background")["iou"] == 5 / 7
    assert scores.mean_iou == pytest.approx((2 / 5 + 2 / 3) / 2)
    assert scores.overall["mean_iou_with_background"] == pytest.approx((5 / 7 + 2 / 5 + 2 / 3) / 3)
    assert scores.overall["accuracy"] == 9 / 12
    assert row_shares(scores.counted[0])[1].tolist() == [1 / 4, 2 / 4, 1 / 4, 0]


def test_the_table_has_the_promised_columns_first():
    columns = evaluate(TRUTH, SAID, AB).classes.columns.tolist()
    assert columns[:7] == ["class", "iou", "dice", "precision", "recall", "f1", "support"]


def test_a_class_that_neither_mask_has_is_undefined_and_left_out_of_means():
    scores = evaluate(TRUTH, SAID, classes("a", "b", "never"))
    never = row(scores, "never")
    assert never[["iou", "dice", "precision", "recall", "f1", "boundary_f1", "iou_mean"]].isna().all()
    assert never["support"] == 0
    assert scores.mean_iou == pytest.approx((2 / 5 + 2 / 3) / 2)


def test_a_class_that_only_the_prediction_has_scores_zero_but_has_no_recall():
    scores = evaluate(np.zeros((2, 2), int), np.array([[1, 0], [0, 0]]), classes("a"))
    a = row(scores, "a")
    assert (a["iou"], a["dice"], a["precision"], a["boundary_f1"]) == (0, 0, 0, 0)
    assert math.isnan(a["recall"])


def test_a_class_that_only_the_truth_has_scores_zero_but_has_no_precision():
    scores = evaluate(np.array([[1, 0], [0, 0]]), np.zeros((2, 2), int), classes("a"))
    a = row(scores, "a")
    assert (a["iou"], a["dice"], a["recall"]) == (0, 0, 0)
    assert math.isnan(a["precision"])


def test_two_empty_masks_have_no_mean_but_perfect_accuracy():
    scores = evaluate(np.zeros((2, 2), int), np.zeros((2, 2), int), AB)
    assert math.isnan(scores.mean_iou)
    assert scores.overall["accuracy"] == 1


def test_no_pictures_at_all_give_a_table_without_numbers():
    scores = Scores(AB, ())
    assert scores.classes["iou"].isna().all()
    assert math.isnan(scores.mean_iou)
    assert len(scores.images) == 0


def test_ignored_pixels_count_nowhere():
    truth = np.where(TRUTH == 2, 255, TRUTH).astype(np.uint8)
    scores = evaluate(truth, SAID, AB, ignore=[255])
    assert scores.counted.sum() == 10
    assert row(scores, "b")["precision"] == 0  # the one pixel of b outside the ignored ones
    assert row(scores, "a")["iou"] == 2 / 5


def test_an_ignored_class_is_left_out_by_truth_but_may_still_be_said_elsewhere():
    scores = evaluate(TRUTH, SAID, AB, ignore=[2])
    assert row(scores, "b")["support"] == 0
    assert scores.confusion.loc["a", "b"] == 1


def test_a_value_without_class_is_an_error_in_the_truth_and_wrong_in_the_prediction():
    with pytest.raises(MeasureError, match=r"value 7, .*--ignore 7"):
        evaluate(np.array([[7, 1]]), np.array([[1, 1]]), AB)
    scores = evaluate(np.array([[1, 1]]), np.array([[1, 9]]), AB)
    assert scores.confusion.loc["a"].tolist() == [0, 1, 0, 1]
    assert row(scores, "a")[["iou", "precision", "recall"]].tolist() == [0.5, 1, 0.5]


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"2 x 3 pixels, the prediction 3 x 2"),
        (np.zeros((2, 3)), np.zeros((2, 3), int), "whole numbers"),
        (np.zeros((2, 3), int), np.full((2, 3), -1), "-1|negative"),
        ([np.zeros((2, 3), int)], [np.zeros((2, 3), int)] * 2, "1 true pictures and 2"),
    ],
)
def test_what_cannot_be_compared_is_refused(truth, prediction, message):
    with pytest.raises(MeasureError, match=message):
        evaluate(truth, prediction, AB)


def test_wrong_settings_are_named():
    with pytest.raises(MeasureError, match="tolerance"):
        evaluate(TRUTH, SAID, AB, tolerance=-1)


def test_object_numbers_without_classes_are_not_taken_for_hundreds_of_classes():
    labels = np.arange(2000).reshape(40, 50)
    with pytest.raises(MeasureError, match="2000 classes"):
        evaluate(labels, labels)


# -- several pictures ------------------------------------------------------------------------------------


def test_pooled_over_pixels_and_mean_over_pictures_differ_as_they_should():
    small, large = np.array([[1, 0]]), np.ones((1, 98), int)
    scores = evaluate([small, large], [np.array([[1, 1]]), large], classes("a"))
    a = row(scores, "a")
    assert a["iou"] == 99 / 100
    assert a["iou_mean"] == (1 / 2 + 1) / 2
    assert scores.images["mean_iou"].tolist() == [0.5, 1]
    assert scores.images["image"].tolist() == ["picture 1", "picture 2"]


def test_intervals_hold_the_score_are_the_same_every_time_and_shrink_with_more_pictures():
    random = np.random.default_rng(1)
    truth = [random.integers(0, 3, (20, 20)) for _ in range(40)]
    said = [np.where(random.random(t.shape) < random.random() / 2, 0, t) for t in truth]
    many, few = evaluate(truth, said, AB), evaluate(truth[:5], said[:5], AB)
    again = evaluate(truth, said, AB)
    a = row(many, "a")
    assert a["iou_low"] < a["iou"] < a["iou_high"]
    assert a["iou_mean_low"] < a["iou_mean"] < a["iou_mean_high"]
    assert many.overall["mean_iou_low"] < many.mean_iou < many.overall["mean_iou_high"]
    assert again.overall == many.overall
    narrow = many.overall["mean_iou_high"] - many.overall["mean_iou_low"]
    assert narrow < few.overall["mean_iou_high"] - few.overall["mean_iou_low"]


def test_pictures_without_a_class_do_not_count_in_its_mean_or_interval():
    one = np.array([[1, 0]])
    scores = evaluate([one, np.zeros((1, 2), int)] * 5, [one, np.zeros((1, 2), int)] * 5, classes("a"))
    a = row(scores, "a")
    assert (a["iou_mean"], a["iou_mean_low"], a["iou_mean_high"], a["support_pictures"]) == (1, 1, 1, 5)


def test_some_of_the_pictures_can_be_picked_out():
    scores = evaluate([TRUTH, TRUTH], [TRUTH, SAID], AB)
    assert scores.of(["picture 1"]).mean_iou == 1
    assert scores.of(["picture 2", "picture 1"]).names == ("picture 2", "picture 1")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pooled_scores_do_not_depend_on_how_pictures_are_cut(data):
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    pair = [data.draw(arrays(np.uint8, shape, elements=st.integers(0, 3))) for _ in range(2)]
    cut = data.draw(st.integers(0, shape[0]))
    axis = data.draw(st.sampled_from([0, 1]))
    parts = [np.split(p, [min(cut, shape[axis])], axis=axis) for p in pair]
    parts = [[x for x in p if x.size] for p in parts]
    class_map = classes("a", "b", "c")
    columns = ["iou", "dice", "precision", "recall", "f1", "support"]
    whole, pieces = evaluate(*pair, class_map), evaluate(*parts, class_map)
    np.testing.assert_array_equal(whole.classes[columns], pieces.classes[columns])
    np.testing.assert_array_equal(whole.confusion, pieces.confusion)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_bounds_and_identities(data):
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    truth, said = (data.draw(arrays(np.uint16, shape, elements=st.integers(0, 2))) for _ in range(2))
    one, other = evaluate(truth, said, AB).classes, evaluate(said, truth, AB).classes
    np.testing.assert_array_equal(one["iou"], other["iou"])
    np.testing.assert_array_equal(one["precision"], other["recall"])
    np.testing.assert_array_equal(one["boundary_f1"], other["boundary_f1"])
    np.testing.assert_allclose(one["dice"], 2 * one["iou"] / (1 + one["iou"]))
    values = one[["iou", "dice", "precision", "recall", "boundary_f1"]].to_numpy()
    assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()
    same = evaluate(truth, truth, AB).classes[["iou", "boundary_f1"]].to_numpy()
    assert (np.isnan(same) | (same == 1)).all()


def test_stacks_and_lazy_arrays_count_like_their_planes():
    dask = pytest.importorskip("dask.array")
    truth, said = np.stack([TRUTH, SAID]), np.stack([SAID, SAID])
    lazy = [dask.from_array(a, chunks=(1, 2, 3)) for a in (truth, said)]
    expected = evaluate([TRUTH, SAID], [SAID, SAID], AB).confusion
    for pair in ((truth, said), lazy):
        labels = [SpecimenLabels(a, axes="ZYX") for a in pair]
        np.testing.assert_array_equal(evaluate(*labels, AB).confusion, expected)


# -- class maps ------------------------------------------------------------------------------------------


def test_classes_are_matched_by_name_when_the_ids_differ():
    swapped = classes("b", "a")
    prediction = SpecimenLabels(np.array([0, 2, 1], np.uint8)[SAID], class_map=swapped)
    np.testing.assert_array_equal(
        evaluate(TRUTH, prediction, AB).confusion, evaluate(TRUTH, SAID, AB).confusion
    )


def test_a_predicted_class_that_the_map_lacks_is_wrong_wherever_it_is_said():
    prediction = SpecimenLabels(np.array([[1, 2, 5]]), class_map=classes("a", "x", "b", ids=[1, 2, 5]))
    scores = evaluate(np.array([[1, 1, 2]]), prediction, AB)
    assert scores.confusion.to_numpy().tolist() == [[0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]]


def test_without_a_common_name_values_are_compared_as_they_are_and_that_is_said():
    prediction = SpecimenLabels(SAID, class_map=classes("x", "y"))
    with pytest.warns(SpecimenWarning, match="none in common"):
        scores = evaluate(TRUTH, prediction, AB)
    assert row(scores, "a")["iou"] == 2 / 5


def test_values_to_be_ignored_survive_the_translation():
    truth = SpecimenLabels(np.array([[1, 2, 255]]), class_map=classes("b", "a"))
    scores = evaluate(truth, np.array([[2, 1, 1]]), AB, ignore=[255])
    assert scores.mean_iou == 1
    assert scores.counted.sum() == 2


def test_the_truths_own_class_map_is_used_when_none_is_given():
    truth = SpecimenLabels(TRUTH, class_map=AB)
    assert evaluate(truth, SAID).classes["class"].tolist() == ["background", "a", "b"]
    assert evaluate(TRUTH, SAID).classes["class"].tolist() == ["background", "label 1", "label 2"]


# -- outlines --------------------------------------------------------------------------------------------


def block(left, height=8, width=12):
    labels = np.zeros((height, width), np.uint8)
    labels[2:6, left : left + 4] = 1
    return labels


@pytest.mark.parametrize(("tolerance", "expected"), [(0, 1 / 2), (1, 1), (2, 1)])
def test_outlines_agree_within_the_tolerance(tolerance, expected):
    scores = evaluate(block(3), block(4), classes("a"), tolerance=tolerance)
    # Outlines of 4 x 4 squares have 12 pixels; shifted by one, 3 + 3 of top and bottom coincide.
    assert row(scores, "a")["boundary_f1"] == expected


def test_the_end_of_the_picture_is_no_outline():
    truth = np.ones((4, 4), np.uint8)
    assert math.isnan(row(evaluate(truth, truth, classes("a")), "a")["boundary_f1"])
    truth[:, 2:] = 0
    counts = count_picture(SpecimenLabels(truth), SpecimenLabels(truth), classes("a"))
    assert counts.boundary.tolist() == [[4, 4, 4, 4], [4, 4, 4, 4]]


def test_no_outline_runs_along_ignored_pixels():
    truth, said = block(3), block(3)
    truth[:, 5:] = 255
    counts = count_picture(
        SpecimenLabels(truth), SpecimenLabels(said), classes("a"), EvaluateSettings(ignore=(255,))
    )
    assert counts.boundary[1].tolist() == [6, 6, 6, 6]  # of 4 x 2 pixels: left column, and above and below


def test_a_tolerance_in_millimetres_needs_the_pixel_size_and_uses_it():
    with pytest.raises(MeasureError, match="pixel size"):
        evaluate(block(3), block(5), classes("a"), tolerance=1, tolerance_unit="mm")
    truth = SpecimenLabels(block(3), spacing=(500, 500), unit="um")
    for tolerance, agree in ((1, True), (0.9, False)):
        scores = evaluate(truth, block(5), classes("a"), tolerance=tolerance, tolerance_unit="mm")
        assert bool(row(scores, "a")["boundary_f1"] == 1) is agree


def test_pixels_that_are_not_square_count_with_their_own_edges():
    truth = SpecimenLabels(block(3), spacing=(10, 0.1), unit="mm")
    scores = evaluate(truth, block(5), classes("a"), tolerance=0.2, tolerance_unit="mm")
    assert row(scores, "a")["boundary_f1"] == 1


# -- the same as others ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noisy():
    random = np.random.default_rng(7)
    truth = np.repeat(np.repeat(random.integers(0, 4, (8, 9)), 5, axis=0), 5, axis=1)
    return truth, np.where(random.random(truth.shape) < 0.3, random.integers(0, 4, truth.shape), truth)


def test_scikit_learn_says_the_same(noisy):
    metrics = pytest.importorskip("sklearn.metrics")
    truth, said = (a.ravel() for a in noisy)
    table = evaluate(*noisy, classes("a", "b", "c"))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(truth, said)
    for name, expected in {"precision": precision, "recall": recall, "f1": f1, "support": support}.items():
        np.testing.assert_allclose(table.classes[name], expected, rtol=1e-12)
    np.testing.assert_allclose(table.classes["iou"], metrics.jaccard_score(truth, said, average=None))
    np.testing.assert_array_equal(table.counted[0][:, :-1], metrics.confusion_matrix(truth, said))
    assert table.overall["accuracy"] == metrics.accuracy_score(truth, said)


def test_scikit_learn_agrees_on_what_is_zero_and_what_is_undefined():
    metrics = pytest.importorskip("sklearn.metrics")
    truth, said = np.array([0, 0, 1, 1, 3]), np.array([0, 2, 1, 1, 0])
    table = evaluate(truth[None], said[None], classes("a", "b", "c", "d")).classes
    ours = table[["precision", "recall"]].to_numpy()
    with np.errstate(all="ignore"):
        theirs = metrics.precision_recall_fscore_support(
            truth, said, labels=[0, 1, 2, 3, 4], zero_division=np.nan
        )
    np.testing.assert_allclose(ours[:, 0], theirs[0])
    np.testing.assert_allclose(ours[:, 1], theirs[1])
    np.testing.assert_allclose(table["f1"], theirs[2])


@pytest.mark.filterwarnings("default")
def test_torchmetrics_says_the_same(noisy):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    truth, said = (torch.from_numpy(a).long() for a in noisy)
    table = evaluate(*noisy, classes("a", "b", "c"))
    arguments = {"num_classes": 4, "average": "none"}
    for name, function in {
        "iou": functional.multiclass_jaccard_index,
        "f1": functional.multiclass_f1_score,
        "precision": functional.multiclass_precision,
        "recall": functional.multiclass_recall,
    }.items():
        np.testing.assert_allclose(table.classes[name], function(said, truth, **arguments), rtol=1e-6)
    ignoring = functional.multiclass_jaccard_index(said, truth, ignore_index=2, **arguments)
    ours = evaluate(*noisy, classes("a", "b", "c"), ignore=[2]).classes["iou"]
    np.testing.assert_allclose(ours[[0, 1, 3]], ignoring[[0, 1, 3]], rtol=1e-6)


# -- start-up --------------------------------------------------------------------------------------------


def test_comparing_arrays_loads_neither_torch_nor_napari():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np, napari_specimen_seg as s;"
        "print(s.evaluate(np.eye(3, dtype=int), np.eye(3, dtype=int)).mean_iou);"
        "print(sorted({'torch', 'napari', 'qtpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.0", "[]"]
