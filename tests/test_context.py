"""How far a network looks: found from its answers, and what follows for its tiles."""

import numpy as np
import pytest

from napari_specimen_seg.core.input_settings import Tiles
from napari_specimen_seg.models.backends import Backend
from napari_specimen_seg.models.card import Binary, Context, ModelCard, Softmax
from napari_specimen_seg.models.context import difference, measure_context, tiles_of
from napari_specimen_seg.models.devices import Engine
from napari_specimen_seg.models.predictor import Predictor
from napari_specimen_seg.models.settings import PredictSettings
from test_predictor import stub, three_classes

torch = pytest.importorskip("torch")


def card(**changes):
    return stub(Binary(), [0.5]).card.model_copy(update=changes)


def mean_of(reach):
    """Return a network that answers with the mean of the pixels up to `reach` away; beyond the edge is 0."""

    def forward(batch):
        edge = (reach + 1, reach)
        sums = np.pad(batch.astype(np.float64), ((0, 0), (0, 0), edge, edge)).cumsum(2).cumsum(3)
        size = 2 * reach + 1
        return (
            sums[:, :, size:, size:]
            - sums[:, :, :-size, size:]
            - sums[:, :, size:, :-size]
            + sums[:, :, :-size, :-size]
        ) / size**2

    return forward


@pytest.mark.parametrize("reach", [0, 5, 30])
def test_the_difference_ends_where_the_network_no_longer_looks(reach):
    fading = difference(mean_of(reach), card(), 0)
    assert (fading[reach:] < 1e-3).all()
    assert (fading[: reach // 2] > 0.02).all()
    halo = measure_context(mean_of(reach), card()).halo
    assert reach / 2 <= halo <= reach + 8
    assert halo % 8 == 0


def test_a_network_that_looks_at_everything_is_noticed():
    def excited(batch):
        return batch * (1 + batch.mean(axis=(2, 3), keepdims=True))

    assert measure_context(excited, card()).whole
    assert not measure_context(mean_of(20), card()).whole


@pytest.mark.parametrize(
    ("answer", "words"),
    [(lambda batch: batch[..., ::2, ::2], "not as large"), (lambda batch: batch * np.nan, "not finite")],
)
def test_an_answer_that_tells_nothing_is_not_measured(answer, words):
    with pytest.raises(RuntimeError, match=words):
        measure_context(answer, card())


def test_tiles_grow_where_it_is_known_how_far_the_network_looks():
    tiles = Tiles(size=512, halo=64)
    base = card(preprocessing=card().preprocessing.model_copy(update={"geometry": tiles}))
    assert tiles_of(base) == tiles
    known = base.model_copy(update={"context": Context(halo=32)})
    assert (tiles_of(known).size, tiles_of(known).halo) == (1152, 32)
    whole = base.model_copy(update={"context": Context(halo=192, whole=True)})
    assert (tiles_of(whole).size, tiles_of(whole).halo, tiles_of(whole).fitted) == (512, 64, False)


def test_old_cards_keep_their_checksum():
    assert "context" not in card().model_dump()
    assert ModelCard.model_validate(card(context=Context(halo=8)).model_dump()).context.halo == 8


class Convolutions(Backend):
    """Two convolutions of 7 x 7: each pixel sees 6 around it."""

    def __init__(self, card):
        super().__init__(card, Engine("cpu", "torch", "fp32"))
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 7, padding=3), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 7, padding=3)
        )

    def scores(self, batch):
        with torch.inference_mode():
            return self.layers(torch.from_numpy(batch)).numpy()


@pytest.mark.parametrize("tile", [64, 96, 160])
def test_with_enough_halo_tiles_give_exactly_the_whole_pictures_labels(tile):
    base = stub(Softmax(), [0, 0, 0], three_classes(), Tiles(size=256, halo=6)).card
    net = Convolutions(base)
    predictor = Predictor(base, net.layers)
    picture = np.random.default_rng(0).integers(0, 256, (192, 224)).astype(np.uint8)
    scores = net.scores(base.preprocessing.normalise(picture[..., None], (0, 255))[None])[0]
    whole = np.array([0, 4, 9], np.uint8)[scores.argmax(0)]
    labels = predictor.predict(picture, PredictSettings(tile=tile, backend="torch")).labels
    margin = np.sort(scores, 0)[-1] - np.sort(scores, 0)[-2]
    assert (labels == whole)[margin > 1e-5].all()
    assert len(np.unique(whole)) > 1
