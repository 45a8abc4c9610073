"""Instant learning: strokes change what they are about, other answers stay, and every round can be undone."""

import multiprocessing
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from napari_specimen_seg import load_model
from napari_specimen_seg.core.classes import PRESETS, ClassMap, LabelClass
from napari_specimen_seg.core.errors import CancelledError, ModelError, SpecimenError
from napari_specimen_seg.core.image import SpecimenImage
from napari_specimen_seg.core.input_settings import PadToSquare, Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models.bundle import read_card, write_bundle
from napari_specimen_seg.models.card import Binary, ModelCard, Softmax
from napari_specimen_seg.models.network import build_network
from napari_specimen_seg.training import instant_process
from napari_specimen_seg.training.frozen import Remembered, cut
from napari_specimen_seg.training.head import with_classes
from napari_specimen_seg.training.instant import InstantSession
from napari_specimen_seg.training.instant_process import InstantProcess
from napari_specimen_seg.training.lesson import Lesson
from napari_specimen_seg.training.losses import IGNORE, drift
from napari_specimen_seg.training.pace import Pace
from napari_specimen_seg.training.views import views_of

THREE = ClassMap(
    classes=(
        LabelClass(id=0, name="background", color="#000000"),
        LabelClass(id=4, name="specimen", color="#00ff00"),
        LabelClass(id=9, name="label", color="#ff0000"),
    )
)


def card(geometry=None, architecture="Unet", **changes) -> ModelCard:
    options = {"encoder_depth": 3, "decoder_channels": (16, 16, 8)} if architecture == "Unet" else {}
    return ModelCard(
        name="toy",
        architecture=architecture,
        encoder="tu-resnet10t",
        options=options,
        preprocessing=Preprocessing(
            channels="gray", mean=(0.4,), std=(0.25,), geometry=geometry or PadToSquare(size=64)
        ),
        **{"class_map": PRESETS["specimen"], "head": Binary(), **changes},
    )


def write(folder, of: ModelCard):
    torch.manual_seed(0)
    weights = build_network(of).state_dict()
    for key, value in weights.items():
        if key.startswith("segmentation_head"):
            value.zero_()  # a model that knows nothing yet, and says so
    write_bundle(folder, of, weights)
    return folder


@pytest.fixture
def model(tmp_path):
    return write(tmp_path / "toy", card())


def picture(seed=0, size=64):
    """A bright disc on dark ground, and its mask."""
    rng = np.random.default_rng(seed)
    y, x = rng.integers(size // 3, 2 * size // 3, 2)
    rows, columns = np.ogrid[:size, :size]
    disc = (rows - y) ** 2 + (columns - x) ** 2 < (size // 5) ** 2
    values = rng.integers(0, 40, (size, size)) + 180 * disc
    return SpecimenImage(values.astype(np.uint8), name=f"p{seed}"), disc.astype(np.uint8)


def stroked(seed=0, size=64):
    """Thin strokes down the picture, over the disc and beside it."""
    image, truth = picture(seed, size)
    known = np.zeros(truth.shape, bool)
    known[:, 3::12] = True
    known[2:6, :] = True
    return Lesson(image, truth, known), truth


def right(answer, truth, known):
    return float((answer.labels == truth)[~known].mean())


def test_strokes_teach_what_nobody_labelled(model):
    lesson, truth = stroked()
    session = InstantSession(model, rate=0.01)
    before = right(session.predict(lesson.image), truth, lesson.known)
    (answer,) = session.learn([lesson], steps=40)
    assert right(answer, truth, lesson.known) > max(0.9, before)
    assert session.steps == 40


def test_a_round_can_be_undone_and_the_encoder_never_changes(model):
    lesson, _ = stroked()
    session = InstantSession(model)
    weights = {k: v.clone() for k, v in session.network.state_dict().items()}
    first = session.predict(lesson.image).labels
    session.learn([lesson], steps=5)
    after = {k: v.clone() for k, v in session.network.state_dict().items()}
    assert all(torch.equal(weights[k], after[k]) for k in weights if k.startswith("encoder."))
    assert any(not torch.equal(weights[k], after[k]) for k in weights)
    assert session.steps == 5
    assert session.undo()
    assert session.steps == 0
    again = session.network.state_dict()
    assert all(torch.equal(weights[k], again[k]) for k in weights)
    assert np.array_equal(session.predict(lesson.image).labels, first)
    assert not session.undo()
    session.learn([lesson], steps=5)  # as if the first round had never been
    assert all(torch.equal(v, session.network.state_dict()[k]) for k, v in after.items())


def test_the_same_strokes_and_steps_give_the_same_model(model):
    lesson, _ = stroked()
    one, two = InstantSession(model, seed=3), InstantSession(model, seed=3)
    for session in (one, two):
        session.learn([lesson], steps=4)
    second = two.network.state_dict()
    assert all(torch.equal(v, second[k]) for k, v in one.network.state_dict().items())


@pytest.mark.parametrize(
    ("first", "each", "steps"), [(0.875, 0.125, 46), (0.0, 0.0625, 91), (2.5, 2.5, 2), (9, 1, 1)]
)
def test_the_number_of_steps_tells_their_rates(monkeypatch, first, each, steps):
    """In 5.5 seconds, where a step takes so long: one of five is tried before their number is known."""
    clock = [0.0]
    monkeypatch.setattr("napari_specimen_seg.training.pace.time.monotonic", lambda: clock[0])
    timed, shares = Pace(5.5), []
    while timed.goes_on:
        shares.append(timed.share)
        clock[0] += each if timed.done else first
        timed.step()
    assert timed.steps == steps
    again = Pace(0, timed.done)
    for share in shares:
        assert again.goes_on
        assert again.share == share
        again.step()
    assert not again.goes_on


def test_a_round_that_is_called_off_leaves_the_model_as_it_was(model):
    lesson, _ = stroked()
    session = InstantSession(model)
    weights = {k: v.clone() for k, v in session.network.state_dict().items()}

    def stop(progress):
        if progress.stage == "learning" and progress.done > 50:
            raise CancelledError

    with pytest.raises(CancelledError):
        session.learn([lesson], steps=6, report=stop)
    assert all(torch.equal(weights[k], v) for k, v in session.network.state_dict().items())


def test_new_classes_get_channels_and_known_names_keep_theirs(model):
    lesson, truth = stroked()
    session = InstantSession(model, rate=0.01)
    before = session.predict(lesson.image).labels
    labels = np.where(truth, 4, 0)
    labels[2:6, :] = 9
    (answer,) = session.learn([Lesson(lesson.image, labels, lesson.known)], steps=40, class_map=THREE)
    assert set(np.unique(answer.labels)) <= {0, 4, 9}
    assert (answer.labels[2:6] == 9).mean() > 0.8
    assert isinstance(session.card.head, Softmax)
    session.undo()
    assert session.card.class_map == PRESETS["specimen"]
    assert np.array_equal(session.predict(lesson.image).labels, before)


def test_another_head_answers_as_before_until_it_learns():
    of = card()
    network = build_network(of)
    x = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        old = network(x)
        new_card, kept = with_classes(network, of, THREE)
        new = network(x)
    assert kept == [0, 1]
    assert new_card.channel_ids == (0, 4, 9)
    torch.testing.assert_close(new[:, 1], old[:, 0])
    assert float(new[:, 0].abs().max()) == 0
    assert float(new[:, 2].max()) == -4


def test_what_is_saved_predicts_what_was_shown(model, tmp_path):
    lesson, _ = stroked()
    session = InstantSession(model)
    (answer,) = session.learn([lesson], steps=20)
    session.save(tmp_path / "better")
    again = load_model(tmp_path / "better").predict(lesson.image)
    assert (again.labels == answer.labels).mean() > 0.995  # 16 bits while learning, 32 afterwards
    saved = read_card(tmp_path / "better")
    assert saved.name == "better"
    assert "20 steps" in saved.training.notes
    assert saved.scores == {}


@pytest.mark.parametrize("geometry", [Tiles(size=64, halo=8), PadToSquare(size=64)])
def test_views_hold_every_stroke_in_place(geometry):
    image, truth = picture(size=100)
    known = np.zeros(truth.shape, bool)
    known[50, :] = True  # one pixel thin
    views = views_of(Lesson(image, truth, known), card(geometry))
    assert views
    for view in views:
        assert view.picture.shape[-2:] == view.target.shape
        values = view.picture[0, 0][view.target == 1], view.picture[0, 0][view.target == 0]
        assert len(values[0]) == 0 or float(values[0].mean()) > float(values[1].mean())
    labelled = sum(int((view.target != IGNORE).sum()) for view in views)
    assert labelled >= (64 if isinstance(geometry, PadToSquare) else 100)


def test_labels_that_cannot_be_meant_are_one_line(model, tmp_path):
    image, truth = picture()
    session = InstantSession(model)
    with pytest.raises(SpecimenError, match="no pixel is labelled"):
        session.learn([Lesson.sparse(image, truth * 0)], steps=1)
    with pytest.raises(SpecimenError, match="hold 7, which is no class"):
        session.learn([Lesson.sparse(image, truth * 7)], steps=1)
    with pytest.raises(SpecimenError, match="5 x 5 pixels"):
        Lesson.sparse(image, np.ones((5, 5), np.uint8))


def test_ways_to_say_what_is_labelled():
    image, truth = picture()
    strokes = np.zeros_like(truth)
    strokes[0, :5], strokes[1, :5] = 1, 200
    lesson = Lesson.sparse(image, strokes, background_id=200)
    assert lesson.known.sum() == 10
    assert lesson.labels[1, 0] == 0
    erased = truth.copy()
    erased[truth == 1] = 0
    lesson = Lesson.corrected(image, erased, truth)
    assert np.array_equal(lesson.known, truth == 1)
    assert not lesson.labels.any()


def test_answers_of_an_encoder_are_found_again_and_bounded():
    calls = []

    class Encoder(torch.nn.Module):
        def forward(self, x):
            calls.append(len(x))
            return [x, x[..., ::2, ::2]]

    memory = Remembered(Encoder(), limit=2 * 4 * (64 + 16), wrap=torch.no_grad)
    a, b, c = (torch.full((1, 1, 8, 8), float(i)) for i in range(3))
    assert torch.equal(memory(torch.cat([a, b]))[1], torch.cat([a, b])[..., ::2, ::2])
    assert calls == [1, 1]
    memory(a)
    assert calls == [1, 1]
    memory(c)  # makes room by forgetting b
    memory(a)
    memory(b)
    assert calls == [1, 1, 1, 1]


def test_features_of_a_part_are_cut_at_every_scale():
    levels = tuple(torch.arange(n * n, dtype=torch.float32).reshape(1, 1, n, n) for n in (64, 32, 8))
    parts = cut(levels, (64, 64), slice(32, 64), slice(0, 32))
    assert [tuple(p.shape[-2:]) for p in parts] == [(32, 32), (16, 16), (4, 4)]
    assert float(parts[2][0, 0, 0, 0]) == 32


@pytest.mark.parametrize(
    ("architecture", "encoder", "channels", "options"),
    [
        ("Unet", "tu-resnet10t", 1, {"decoder_attention_type": "scse"}),
        ("Unet", "tu-hrnet_w18_small", 3, {}),
        ("UnetPlusPlus", "tu-resnet10t", 3, {}),
        ("FPN", "tu-resnet10t", 5, {}),
        ("DeepLabV3Plus", "tu-resnet10t", 3, {}),
        ("Segformer", "mit_b0", 3, {}),
        ("Linknet", "tu-resnet10t", 3, {}),
        ("UPerNet", "tu-resnet10t", 3, {}),
    ],
)
def test_a_network_answers_the_same_from_kept_features(architecture, encoder, channels, options):
    from napari_specimen_seg.training.feature_store import _hollow, _is_hollow, used_levels
    from napari_specimen_seg.training.frozen import decoded

    of = card(architecture=architecture).model_copy(
        update={
            "encoder": encoder,
            "options": options,
            "preprocessing": Preprocessing(channels=channels, mean=(0.4,) * channels, std=(0.2,) * channels),
        }
    )
    torch.manual_seed(0)
    network = build_network(of)
    x = torch.rand(2, channels, 64, 64)
    with torch.no_grad():
        whole = network(x)
        levels = network.encoder(x)
        used = used_levels(network, x[:1])
        kept = tuple(f if u else _hollow(f) for f, u in zip(levels, used, strict=True))
        torch.testing.assert_close(decoded(network, kept, channels, (2, 64, 64)), whole)
    assert not used[0]  # the input itself
    assert _is_hollow(kept[0])
    assert used[-1]


def test_drift_counts_only_what_nobody_labelled():
    before = torch.tensor([[[[4.0, 0.0]], [[0.0, 4.0]]]])
    target = torch.tensor([[[IGNORE, 0]]])
    assert float(drift(before, before, target, "softmax")) == pytest.approx(0)
    moved = before.clone()
    moved[..., 1] = 0
    assert float(drift(moved, before, target, "softmax")) == pytest.approx(0)
    moved[..., 0] = 0
    assert float(drift(moved, before, target, "softmax")) > 0.5
    assert float(drift(moved[:, :1], before[:, :1], target, "binary")) > 0.1


def test_networks_without_an_encoder_to_keep_are_refused(tmp_path):
    fastai = card(architecture="FastaiUnet").model_copy(update={"encoder": "resnet18", "options": {}})
    with pytest.raises(ModelError, match="cannot be taken apart"):
        InstantSession(write(tmp_path / "f", fastai))


class ByHand:
    """Stands in for what makes processes: the test is the process, at the other end of the pipe."""

    def __init__(self):
        self.here, self.there = multiprocessing.Pipe()
        self.kills = 0

    def Pipe(self):  # noqa: N802 - the standard library calls it so
        return self.here, SimpleNamespace(close=lambda: None)

    def Process(self, **_):  # noqa: N802
        return self

    def start(self): ...

    def join(self, timeout=None): ...

    def kill(self):
        self.kills += 1
        self.there.close()

    def is_alive(self):
        return not self.there.closed


@pytest.fixture
def by_hand(monkeypatch):
    end = ByHand()
    monkeypatch.setattr(instant_process, "FreshContext", lambda: end)
    return end


def call_off(progress):
    raise CancelledError


def test_a_round_waits_until_what_was_called_off_has_ended(by_hand):
    process = InstantProcess("toy")
    stages, given = [], []
    old_is_stopped = threading.Event()

    def report(progress):
        if old_is_stopped.is_set():
            raise CancelledError

    def ask():
        with pytest.raises(CancelledError):
            process.card(report)

    old = threading.Thread(target=ask)
    old.start()
    assert by_hand.there.recv()[0] == "card"
    old_is_stopped.set()
    new = threading.Thread(target=lambda: given.append(process.steps(lambda p: stages.append(p.stage))))
    new.start()
    assert by_hand.there.recv() is None  # called off, but this tile takes a while
    assert not by_hand.there.poll(0.3)
    assert "finishing what was begun" in stages
    with pytest.raises(CancelledError):
        process.undo(call_off)  # whoever waits can be stopped at once
    by_hand.there.send(("done", "the old answer"))
    assert by_hand.there.recv()[0] == "steps"
    by_hand.there.send(("done", 7))
    for thread in (old, new):
        thread.join(10)
    assert given == [7]
    assert by_hand.kills == 0


def test_what_was_called_off_while_a_picture_was_read_is_not_begun(by_hand):
    process = InstantProcess("toy")
    with pytest.raises(CancelledError):
        process.predict(picture()[0], call_off)
    assert not by_hand.there.poll(0)


def test_a_picture_that_cannot_be_read_is_no_fault_of_the_process(by_hand):
    class Broken:
        shape, dtype, ndim = (5, 5), np.dtype(np.uint8), 2

        def __array__(self, dtype=None, copy=None):
            raise OSError("the disk is gone")

    process = InstantProcess("toy")
    with pytest.raises(OSError, match="the disk is gone"):
        process.predict(SpecimenImage(Broken(), name="lazy"))
    assert process.is_alive


def test_a_process_that_is_closed_lets_go_of_who_waits(by_hand):
    process = InstantProcess("toy")
    seen = []

    def wait():
        with pytest.raises(SpecimenError, match="has ended"):
            process.card()
        seen.append(by_hand.here.closed)

    waiting = threading.Thread(target=wait)
    waiting.start()
    by_hand.there.recv()
    process.close()
    waiting.join(10)
    assert seen == [True]


@pytest.mark.timeout(300)
def test_it_runs_in_a_process_of_its_own_and_can_be_called_off(model, tmp_path):
    lesson, truth = stroked()
    process = InstantProcess(model, rate=0.01)
    try:
        assert process.card().name == "toy"
        seen = []
        (answer,) = process.learn([lesson], steps=40, report=seen.append)
        assert right(answer, truth, lesson.known) > 0.9
        assert {p.stage for p in seen} >= {"learning"}

        def stop(progress):
            if progress.stage == "learning":
                raise CancelledError

        with pytest.raises(CancelledError):
            process.learn([lesson], seconds=60, report=stop)
        assert np.array_equal(process.predict(lesson.image).labels, answer.labels)
        with pytest.raises(SpecimenError, match="no pixel is labelled"):
            process.learn([Lesson.sparse(lesson.image, truth * 0)], steps=1)
        process.save(tmp_path / "kept")
        assert (tmp_path / "kept" / "card.json").is_file()
        assert process.undo()
    finally:
        process.close()
    assert not process.is_alive
    with pytest.raises(SpecimenError, match="has ended"):
        process.undo()


def test_the_command_line_learns_from_files(model, tmp_path):
    from napari_specimen_seg.cli.train import command

    lesson, truth = stroked()
    for folder, content in (
        ("images", np.asarray(lesson.image.data)),
        ("labels", np.where(lesson.known, np.where(truth, 1, 2), 0)),
    ):
        (tmp_path / folder).mkdir()
        Image.fromarray(content.astype(np.uint8)).save(tmp_path / folder / "p.png")
    options = ["--images", tmp_path / "images", "--labels", tmp_path / "labels", "-o", tmp_path / "out"]
    options += ["--instant", 1, "--ignore-id", 0, "--background-id", 2]
    refused = CliRunner().invoke(command, [str(o) for o in options], standalone_mode=False)
    assert isinstance(refused.exception, SpecimenError)
    assert "--from" in str(refused.exception)
    done = CliRunner().invoke(command, [str(o) for o in [*options, "--from", model]], standalone_mode=False)
    assert done.exception is None
    assert done.return_value == 0
    assert "strokes on 1 pictures" in read_card(tmp_path / "out").training.notes
    options[options.index("--instant") : options.index("--instant") + 2] = ["--instant-steps", 3]
    options[options.index("-o") + 1] = tmp_path / "three"
    CliRunner().invoke(command, [str(o) for o in [*options, "--from", model]], standalone_mode=False)
    assert " 3 steps with strokes on 1 pictures" in read_card(tmp_path / "three").training.notes
