"""Pictures part by part: the order can change, what is done is left out, only a tile's pixels are read."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_specimen_seg.core.errors import CancelledError, ModelError, SpecimenWarning
from napari_specimen_seg.core.image import SpecimenImage
from napari_specimen_seg.core.input_settings import ByDtype, ByPercentile, PadToSquare
from napari_specimen_seg.models import devices, engines
from napari_specimen_seg.models import predictor as predictor_module
from napari_specimen_seg.models.backends import Backend
from napari_specimen_seg.models.card import Binary, Softmax
from napari_specimen_seg.models.devices import Engine
from napari_specimen_seg.models.openvino_graph import ConversionError
from napari_specimen_seg.models.predictor import Predictor
from napari_specimen_seg.models.settings import PredictSettings
from test_predictor import Pixelwise, stub, three_classes

torch = pytest.importorskip("torch")

PICTURE = np.random.default_rng(0).integers(0, 256, (200, 260)).astype(np.uint8)


@pytest.fixture
def one_core():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def joined(parts, shape, dtype=np.uint8):
    """Return the parts as one array, and check that every pixel came once."""
    labels, hits = np.zeros(shape, dtype), np.zeros(shape, int)
    for part in parts:
        labels[part.place] = part.labels
        hits[part.place] += 1
    assert (hits == 1).all()
    return labels


def test_the_parts_make_up_what_predict_gives():
    predictor = stub(Binary(), [0.5])
    parts = list(predictor.stream(PICTURE))
    assert (joined(parts, PICTURE.shape) == predictor.predict(PICTURE).labels).all()
    plan = predictor.plan(PICTURE)
    assert [part.number for part in parts] == list(range(len(plan.tiles)))
    assert [(part.rows, part.columns) for part in parts] == [(t.rows, t.columns) for t in plan.tiles]


def test_confidence_comes_with_its_part():
    predictor = stub(Binary(), [0.5])
    whole = predictor.predict(PICTURE, PredictSettings(confidence=True)).confidence
    for part in predictor.stream(PICTURE, PredictSettings(confidence=True)):
        assert (part.confidence == whole[part.place]).all()


def test_the_order_is_asked_for_and_may_change_while_it_runs(one_core):
    predictor = stub(Binary(), [0.5])
    last = len(predictor.plan(PICTURE).tiles) - 1
    asked = []

    def order(left):
        asked.append(len(left))
        return max(left) if len(asked) <= 4 else min(left)

    numbers = [part.number for part in predictor.stream(PICTURE, order=order)]
    assert numbers[:6] == [last, last - 1, last - 2, last - 3, 0, 1]
    assert sorted(numbers) == list(range(last + 1))
    assert asked == list(range(last + 1, 0, -1))


def test_an_order_goes_across_planes():
    stack = np.stack([PICTURE, 255 - PICTURE])
    predictor = stub(Binary(), [0.5])
    parts = list(predictor.stream(stack, order=lambda left: max(left)))
    assert parts[0].plane == (1,)
    assert (joined(parts, stack.shape) == predictor.predict(stack).labels).all()


def test_what_is_done_is_left_out():
    predictor = stub(Binary(), [0.5])
    first = list(predictor.stream(PICTURE))
    done = {part.spot for part in first[::2]}
    seen = []
    rest = list(predictor.stream(PICTURE, None, seen.append, done=done))
    assert [part.spot for part in rest] == [part.spot for part in first[1::2]]
    assert next(p for p in seen if p.stage == "tile").done == len(done)
    assert list(predictor.stream(PICTURE, done={part.spot for part in first})) == []


def test_whole_pictures_are_one_part_a_plane():
    predictor = stub(Binary(), [0.5], geometry=PadToSquare(size=64))
    stack = np.stack([PICTURE, 255 - PICTURE])
    parts = list(predictor.stream(stack, done={((0,), 0)}))
    assert [part.spot for part in parts] == [((1,), 0)]
    assert (parts[0].labels == predictor.predict(stack).labels[1]).all()


class Lazy:
    """Looks like an array and counts what is read."""

    dtype, ndim = np.dtype(np.uint8), 2

    def __init__(self, shape):
        self.shape, self.most, self.read = shape, 0, 0

    def __getitem__(self, key):
        if key == ():
            return self
        rows, columns = (range(n)[k] for n, k in zip(self.shape, key, strict=True))
        size = len(rows) * len(columns)
        self.most, self.read = max(self.most, size), self.read + size
        return np.add.outer(np.array(rows), np.array(columns)).astype(np.uint8)

    @property
    def size(self):
        return self.shape[0] * self.shape[1]


@pytest.mark.parametrize("values", [ByDtype(), ByPercentile()])
def test_of_a_huge_picture_only_what_is_needed_is_read(values):
    huge = Lazy((20_000, 20_000))
    predictor = stub(Binary(), [0.5], values=values)
    parts = predictor.stream(SpecimenImage(huge))
    part = next(parts)
    parts.close()
    assert huge.most <= 1024 * 1024
    if isinstance(values, ByDtype):
        assert huge.read < 10_000_000
        assert (part.labels == (np.add.outer(np.arange(48), np.arange(48)) > 127)).all()


def test_closing_stops_and_the_model_stays_usable():
    predictor = stub(Binary(), [0.5])
    parts = predictor.stream(PICTURE)
    next(parts)
    parts.close()
    assert predictor.predict(PICTURE).labels.shape == PICTURE.shape


def test_cancelling_between_parts_passes_through():
    def stop(progress):
        if progress.stage == "tile" and progress.done == 2:
            raise CancelledError

    predictor = stub(Binary(), [0.5])
    got = []
    with pytest.raises(CancelledError):
        got.extend(predictor.stream(PICTURE, None, stop))
    assert predictor.predict(PICTURE).labels.shape == PICTURE.shape


class Device(Backend):
    """A device with room for `room` tiles at once that fills up after `after` batches."""

    def __init__(self, card, room, after=10**6):
        super().__init__(card, Engine("cuda", "torch", "fp32"))
        self.room, self.after, self.sizes = room, after, []

    def scores(self, batch):
        self.sizes.append(len(batch))
        if len(batch) > self.room or len(self.sizes) > self.after:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GB")
        return np.concatenate([10 * (batch[:, :1] - 0.5)])

    def batch_size(self, height, width):
        return 8

    def lanes(self, height, width):
        return 2


def on_device(monkeypatch, **how):
    """Return a model whose processor is a stub and whose device is a stand-in."""
    predictor = Predictor(stub(Binary(), [0.5]).card, Pixelwise(0.5))
    device = Device(predictor.card, **how)
    usual = Predictor._backend_for

    def backend_for(self, engine):
        return device if engine.device == "cuda" else usual(self, engine)

    monkeypatch.setattr(Predictor, "_backend_for", backend_for)
    monkeypatch.setattr(
        Predictor,
        "engine",
        lambda self, settings: Engine("cpu" if settings.device == "cpu" else "cuda", "torch", "fp32"),
    )
    return predictor, device


def test_a_full_device_gets_smaller_batches(monkeypatch):
    predictor, device = on_device(monkeypatch, room=2)
    labels = joined(predictor.stream(PICTURE), PICTURE.shape)
    assert (labels == (PICTURE / 255 > 0.5)).all()
    assert list(dict.fromkeys(device.sizes))[:3] == [8, 4, 2]


def test_a_device_that_has_no_room_at_all_leaves_the_rest_to_the_processor(monkeypatch):
    predictor, _ = on_device(monkeypatch, room=8, after=1)
    with pytest.warns(SpecimenWarning, match="cuda ran out of memory; the rest is computed on the processor"):
        parts = list(predictor.stream(PICTURE))
    assert (joined(parts, PICTURE.shape) == (PICTURE / 255 > 0.5)).all()


@pytest.mark.parametrize(("room", "after"), [(1, 10**6), (1, 3), (0, 10**6)])
def test_blended_tiles_are_left_to_the_processor_too(monkeypatch, room, after):
    predictor, _ = on_device(monkeypatch, room=room, after=after)
    settings = PredictSettings(blend=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        labels = joined(predictor.stream(PICTURE, settings), PICTURE.shape)
    assert (labels == (PICTURE / 255 > 0.5)).all()
    told = [str(one.message) for one in caught]
    assert len(told) == (0 if room == 1 and after > 3 else 1)
    assert all("the rest is computed on the processor" in line for line in told)


def test_what_computed_is_told_also_where_it_changed_in_between(monkeypatch):
    predictor, device = on_device(monkeypatch, room=8, after=1)
    device.lanes = lambda height, width: 1  # the first batch is surely the one that succeeds
    with pytest.warns(SpecimenWarning, match="ran out of memory"):
        told = predictor.predict(PICTURE).provenance
    assert told["engine"] == {"device": "cuda", "backend": "torch", "precision": "fp32"}
    assert told["other_engines"] == [{"device": "cpu", "backend": "torch", "precision": "fp32"}]


@pytest.mark.parametrize("geometry", [None, PadToSquare(size=64)])
def test_a_device_that_never_computed_is_not_told(monkeypatch, geometry):
    predictor, device = on_device(monkeypatch, room=0)
    if geometry is not None:
        preprocessing = predictor.card.preprocessing.model_copy(update={"geometry": geometry})
        predictor.card = predictor.card.model_copy(update={"preprocessing": preprocessing})
    with pytest.warns(SpecimenWarning, match="ran out of memory"):
        told = predictor.predict(PICTURE).provenance
    assert told["engine"]["device"] == "cpu"
    assert "other_engines" not in told
    assert device.sizes


# -- several at once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [PredictSettings(), PredictSettings(blend=True)])
def test_two_streams_of_one_model_take_turns_in_one_thread(settings):
    predictor = stub(Binary(), [0.5])
    other = 255 - PICTURE
    pairs = list(zip(predictor.stream(PICTURE, settings), predictor.stream(other, settings), strict=True))
    assert (joined([one for one, _ in pairs], PICTURE.shape) == predictor.predict(PICTURE).labels).all()
    assert (joined([two for _, two in pairs], PICTURE.shape) == predictor.predict(other).labels).all()


def test_a_stream_that_nobody_goes_on_with_keeps_no_one_waiting():
    predictor = stub(Binary(), [0.5])
    whole = predictor.predict(PICTURE).labels
    paused = predictor.stream(PICTURE)
    first = next(paused)
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(predictor.predict, PICTURE) for _ in range(2)]
        assert all((one.result(timeout=30).labels == whole).all() for one in found)
    assert (joined([first, *paused], PICTURE.shape) == whole).all()


def test_a_stream_that_pauses_while_another_engine_is_chosen_goes_on_with_its_own():
    predictor = stub(Binary(), [0.5])
    paused = predictor.stream(PICTURE, PredictSettings(backend="torch"))
    first = next(paused)
    other = predictor.predict(PICTURE, PredictSettings(backend="openvino"))
    assert other.provenance["engine"]["backend"] == "openvino"
    parts = [first, *paused]
    assert {part.engine.backend for part in parts} == {"torch"}
    assert (joined(parts, PICTURE.shape) == other.labels).all()


def test_large_class_ids_keep_their_number():
    from napari_specimen_seg.core.classes import ClassMap, LabelClass

    classes = ClassMap(
        classes=(*three_classes().classes[:2], LabelClass(id=700, name="b", color="#020202")),
    )
    predictor = stub(Softmax(), [0.5, 0.4, 0.2], classes)
    assert predictor.predict(np.array([[0, 255]], np.uint8)).labels.tolist() == [[700, 700]]


# -- which engine ----------------------------------------------------------------------------------------


def stored_stub(tmp_path):
    """Return a model that says it lies in a folder; its network is handed over when it is asked for."""
    predictor = stub(Binary(), [0.5])
    predictor._network, predictor._source = predictor._source, tmp_path
    return predictor


@pytest.mark.parametrize(
    ("installed", "settings", "chosen"),
    [
        (True, {}, "OpenVINO on the processor, fp32"),
        (True, {"precision": "bf16"}, "OpenVINO on the processor, bf16"),
        (True, {"backend": "torch"}, "torch on the processor, fp32"),
        (False, {}, "torch on the processor, fp32"),
        (False, {"precision": "bf16"}, "torch on the processor, bf16"),
    ],
)
def test_auto_takes_what_is_installed(monkeypatch, tmp_path, installed, settings, chosen):
    monkeypatch.setattr(engines, "has_openvino", lambda: installed)
    monkeypatch.setattr(devices, "has_bf16", lambda: True)
    monkeypatch.setattr(devices, "may_have_gpu", lambda: False)
    assert str(stored_stub(tmp_path).engine(PredictSettings(**settings))) == chosen
    given = stub(Binary(), [0.5]).engine(PredictSettings(**settings))
    assert str(given).startswith("torch on the processor")


def test_bf16_without_instructions_for_it_is_computed_in_fp32(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "has_bf16", lambda: False)
    with pytest.warns(SpecimenWarning, match="does not compute with bf16 itself"):
        engine = stub(Binary(), [0.5]).engine(PredictSettings(precision="bf16", device="cpu"))
    assert engine.precision == "fp32"


def test_a_network_that_openvino_cannot_compute_is_computed_by_torch(monkeypatch, tmp_path):
    def open_backend(card, engine, folder, network):
        if engine.backend == "openvino":
            raise ConversionError("stub: the network cannot be converted to OpenVINO (loops)")
        return usual(card, engine, folder, network)

    usual = engines.open_backend
    monkeypatch.setattr(predictor_module, "open_backend", open_backend)
    monkeypatch.setattr(engines, "has_openvino", lambda: True)
    predictor = stored_stub(tmp_path)
    with pytest.warns(SpecimenWarning, match=r"cannot be converted to OpenVINO \(loops\); torch computes it"):
        answer = predictor.predict(PICTURE, PredictSettings(device="cpu"))
    assert answer.provenance["engine"]["backend"] == "torch"
    predictor.predict(PICTURE, PredictSettings(device="cpu"))  # and is not tried again
    with pytest.raises(ModelError, match="cannot be converted"):
        predictor.predict(PICTURE, PredictSettings(device="cpu", backend="openvino"))


def test_what_computes_is_said():
    seen = []
    list(stub(Binary(), [0.5]).stream(PICTURE, PredictSettings(device="cpu"), seen.append))
    assert "computing with torch on the processor, fp32" in [progress.stage for progress in seen]
