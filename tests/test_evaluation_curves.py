"""Thresholds: counts by hand, and the same curves as scikit-learn."""

import numpy as np
import pytest

from napari_specimen_seg.evaluation.curves import (
    GRID,
    STEPS,
    average_precision_score,
    best_threshold,
    iou_by_threshold,
    precision_recall,
    sureness_counts,
)


def counts_of(probability, truth):
    p, t = np.asarray(probability, np.float32)[None], np.asarray(truth, bool)[None]
    return sureness_counts(p, t, np.ones(p.shape, bool))


def at(curve, threshold):
    return curve[..., round(threshold * STEPS)].tolist()


def test_a_pixel_is_found_where_its_probability_exceeds_the_threshold():
    counts = counts_of([0.3, 0.5, 0.9, 0.2], [0, 1, 1, 0])
    precision, recall = precision_recall(counts)
    assert [at(precision, t) for t in (0.1, 0.2, 0.299, 0.3, 0.499)] == [2 / 4, 2 / 3, 2 / 3, 1, 1]
    assert [at(recall, t) for t in (0.1, 0.499, 0.5, 0.899)] == [1, 1, 0.5, 0.5]
    assert at(iou_by_threshold(counts), 0.25) == 2 / 3
    assert np.isnan(precision[-1])
    assert recall[-1] == 0


def test_every_step_of_a_float_is_on_its_own_side():
    counts = counts_of(GRID, np.ones(STEPS + 1))
    assert counts[1].tolist() == [1] * (STEPS + 1)


def test_ignored_pixels_do_not_count():
    p, t = np.array([[0.9, 0.1]]), np.array([[True, True]])
    assert sureness_counts(p, t, np.array([[True, False]])).sum() == 1


def test_the_best_threshold_is_in_the_middle_of_the_best():
    counts = counts_of([0.1, 0.2, 0.6, 0.9], [0, 0, 1, 1])
    threshold, score = best_threshold(counts[None])
    assert threshold == pytest.approx(0.3995, abs=0.0006)  # 0.2 to 0.599 are all perfect
    assert score == 1


def test_no_pixels_have_no_best_threshold():
    assert np.isnan(best_threshold(np.zeros((2, 2, STEPS + 1), int))).all()


def test_scikit_learn_draws_the_same_curve():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(5)
    truth = random.random(3000) < 0.3
    probability = np.round(np.clip(random.normal(0.35 + 0.3 * truth, 0.2), 0, 1), 3)
    counts = counts_of(probability, truth)
    ours = average_precision_score(counts)
    assert ours == pytest.approx(metrics.average_precision_score(truth, probability), abs=1e-9)
    precision, recall, threshold = metrics.precision_recall_curve(truth, probability)
    for k in (100, 300, 500, 700):  # theirs are "at least", ours are "more than"
        place = np.searchsorted(threshold, k / STEPS + 1e-6)
        assert precision_recall(counts)[0][k] == precision[place]
        assert precision_recall(counts)[1][k] == recall[place]
