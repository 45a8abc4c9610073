"""Blended tiles: weights add up, bands are finished from top to bottom, what is done is left out."""

import numpy as np
import pytest

from napari_specimen_seg.core.errors import ModelError
from napari_specimen_seg.core.input_settings import PadToSquare, Tiles
from napari_specimen_seg.models.blending import blended_grid, weights
from napari_specimen_seg.models.card import Binary, Softmax
from napari_specimen_seg.models.predictor import Predictor
from napari_specimen_seg.models.settings import PredictSettings
from test_predictor import stub, three_classes
from test_stream import joined

torch = pytest.importorskip("torch")

PICTURE = np.random.default_rng(0).integers(0, 256, (300, 210)).astype(np.uint8)
BLEND = PredictSettings(blend=True, confidence=True)


def test_a_network_without_context_answers_as_without_blending():
    predictor = stub(Softmax(), [0.0, 0.25, 0.6], three_classes(), Tiles(size=64, halo=8))
    plain, blended = predictor.predict(PICTURE, PredictSettings(confidence=True)), None
    blended = predictor.predict(PICTURE, BLEND)
    assert (plain.labels == blended.labels).mean() > 0.999  # sums are rounded at limits
    np.testing.assert_allclose(plain.confidence, blended.confidence, atol=1e-4)


class Offset(torch.nn.Module):
    """Answers with the mean brightness of the tile: every tile says something else."""

    def forward(self, x):
        return (x.mean((2, 3), keepdim=True) - 0.5).expand(-1, 1, *x.shape[2:])


def test_neighbours_fade_into_each_other_by_their_weights():
    picture = np.repeat(np.linspace(0, 255, 160).astype(np.uint8)[None], 64, 0)
    card = stub(Binary(), [0.5], geometry=Tiles(size=64, halo=8)).card
    places = blended_grid(card, *picture.shape)
    assert len(places.lefts) > 2
    sums, total = np.zeros(160), np.zeros(160)
    for left in places.lefts:
        mean = picture[:, left : left + 64].mean() / 255 - 0.5
        sums[left : left + 64] += weights(64) * mean
        total[left : left + 64] += weights(64)
    expected = 1 / (1 + np.exp(-np.abs(sums / total)))
    found = Predictor(card, Offset()).predict(picture, BLEND).confidence
    np.testing.assert_allclose(found, np.repeat(expected[None], 64, 0), atol=1e-5)


def test_bands_come_from_top_to_bottom_and_done_ones_are_left_out():
    card = stub(Binary(), [0.5], geometry=Tiles(size=64, halo=8)).card
    predictor = Predictor(card, Offset())
    plan = predictor.plan(PICTURE, BLEND)
    parts = list(predictor.stream(PICTURE, BLEND))
    assert [(part.rows, part.columns) for part in parts] == [(t.rows, t.columns) for t in plan.tiles]
    labels = joined(parts, PICTURE.shape)
    assert (labels == predictor.predict(PICTURE, BLEND).labels).all()
    rest = list(predictor.stream(PICTURE, BLEND, done={part.spot for part in parts[:3]}))
    assert [part.number for part in rest] == [part.number for part in parts[3:]]
    for part in rest:
        assert (part.labels == labels[part.place]).all()


def test_stacks_and_small_pictures_are_blended_too():
    predictor = stub(Binary(), [0.5], geometry=Tiles(size=64, halo=8))
    for shape in ((2, 90, 70), (5, 9), (64, 200)):
        picture = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
        assert (predictor.predict(picture, BLEND).labels == (picture / 255 > 0.5)).all()


def test_a_model_without_tiles_has_none_to_blend():
    with pytest.raises(ModelError, match="no tiles to blend"):
        stub(Binary(), [0.5], geometry=PadToSquare(size=64)).predict(PICTURE, BLEND)
