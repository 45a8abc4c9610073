"""Whole runs at toy size: what they leave, how they stop, and that a resumed run is the same run."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("lightning")

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import SpecimenError, WriteError
from napari_specimen_seg.core.files import read_image
from napari_specimen_seg.training.config import TrainConfig
from napari_specimen_seg.training.recipes import RECIPES

pytestmark = pytest.mark.filterwarnings("ignore::Warning:lightning.*", "ignore::Warning:torch.*")


@pytest.fixture
def data(tmp_path):
    """Twelve grey pictures with a bright disc each, and their masks."""
    rng = np.random.default_rng(0)
    for number in range(12):
        y, x = rng.integers(16, 48, 2)
        rows, columns = np.ogrid[:64, :64]
        disc = (rows - y) ** 2 + (columns - x) ** 2 < 120
        picture = rng.integers(0, 60, (64, 64)) + 150 * disc
        for folder, content in (("images", picture), ("labels", 255 * disc)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(content.astype(np.uint8)).save(tmp_path / folder / f"p{number:02}.png")
    return tmp_path


def tiny(data, **learn) -> TrainConfig:
    return TrainConfig().changed(
        {
            "data": {
                "images": data / "images",
                "labels": data / "labels",
                "kind": "binary",
                "class_map": PRESETS["specimen"],
            },
            "network": {
                "architecture": "Unet",
                "encoder": "tu-resnet10t",
                "options": {"encoder_depth": 3, "decoder_channels": [16, 16, 8]},
            },
            "input": {"channels": "gray", "geometry": {"kind": "pad", "size": 64}},
            "learn": {"epochs": 2, "batch_size": 4, "lr": 3e-3, "precision": "fp32", **learn},
            "run": {"device": "cpu"},
        }
    )


def run(config, out, **options):
    from napari_specimen_seg import train

    return list(train(config, out, **options))


def test_a_run_leaves_a_model_that_needs_nothing_else(data, tmp_path):
    from napari_specimen_seg import load_model

    events = run(tiny(data, epochs=4), tmp_path / "model")
    assert [e.kind for e in events if e.kind != "step"] == ["note", "started", *["epoch"] * 4, "finished"]
    names = {p.name for p in (tmp_path / "model").iterdir()}
    assert {"card.json", "model.safetensors", "README.md", "train.toml", "history.csv"} <= names
    assert {"curves.png", "samples.png", "validation.png"} <= names
    with Image.open(tmp_path / "model" / "validation.png") as shown:
        assert shown.size == (3 * 260, 2 * 260)  # picture, truth and answer of both validation pictures
    predictor = load_model(tmp_path / "model")
    card = predictor.card
    assert card.training.pictures == 10
    assert len(card.training.data_sha256) == 64
    image = read_image(data / "images" / "p00.png")
    assert predictor.predict(image).labels.shape == (64, 64)
    # the score in the card is the one that a prediction with the folder has
    validated = {e.name for e in (data / "images").iterdir()}
    assert len(validated) == 12
    assert card.scores["validation"]["mean iou"] == pytest.approx(events[-1].scores["mean iou"])


def weights_of(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("changes", [{"schedule": "one_cycle"}, {"schedule": "plateau", "ema": 0.9}])
def test_a_resumed_run_is_bit_identical(data, tmp_path, changes):
    from napari_specimen_seg import train

    config = tiny(data, epochs=3, frozen_epochs=1, discriminative=(40, 4), accumulate=2, **changes)
    whole = run(config, tmp_path / "whole")
    broken = train(config, tmp_path / "broken")
    for event in broken:
        if event.kind == "step" and event.epoch == 3:
            break  # in the middle of the third of four epochs
    broken.close()
    assert (tmp_path / "broken" / "card.json").is_file()
    again = run(config, tmp_path / "broken", resume=True)
    assert any("going on after epoch 2" in getattr(e, "text", "") for e in again)
    first, second = weights_of(tmp_path / "whole"), weights_of(tmp_path / "broken")
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert [e.loss for e in whole if e.kind == "epoch"][2:] == [e.loss for e in again if e.kind == "epoch"]
    history = [(tmp_path / name / "history.csv").read_text() for name in ("whole", "broken")]
    assert history[0] == history[1]


@pytest.mark.parametrize(
    ("changes", "stop_at"),
    [
        ({"schedule": "one_cycle", "accumulate": 1}, (3, 3)),
        ({"schedule": "plateau", "accumulate": 2, "ema": 0.9}, (4, 4)),
        ({"frozen_epochs": 2, "fixed_views": 2, "accumulate": 1}, (2, 3)),
    ],
)
def test_a_run_cut_off_inside_of_an_epoch_goes_on_at_the_next_step(data, tmp_path, changes, stop_at):
    from napari_specimen_seg import train

    learn = {"epochs": 3, "frozen_epochs": 1, "batch_size": 2, "discriminative": (40, 4), **changes}
    config = tiny(data, **learn)
    whole = run(config, tmp_path / "whole")
    broken = train(config.changed({"run": {"checkpoint_minutes": 1e-6}}), tmp_path / "broken")
    for event in broken:
        if event.kind == "step" and (event.epoch, event.step) == stop_at:
            break
    broken.close()
    again = run(config, tmp_path / "broken", resume=True)
    notes = [e.text for e in again if e.kind == "note"]
    assert any(f"going on in epoch {stop_at[0]} after step" in note for note in notes), notes
    steps = [(e.epoch, e.step) for e in again if e.kind == "step"]
    assert steps[0][0] == stop_at[0]
    assert steps[0][1] > 1
    first, second = weights_of(tmp_path / "whole"), weights_of(tmp_path / "broken")
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert [e.loss for e in whole if e.kind == "epoch"][-1] == [e.loss for e in again if e.kind == "epoch"][
        -1
    ]
    history = [(tmp_path / name / "history.csv").read_text() for name in ("whole", "broken")]
    assert history[0] == history[1]


def test_a_killed_run_goes_on_from_the_last_whole_checkpoint(data, tmp_path):
    from napari_specimen_seg import train

    config = tiny(data, epochs=3)
    stopped = train(config, tmp_path / "m")
    for event in stopped:
        if event.kind == "step" and event.epoch == 3:
            break
    stopped.close()
    last = tmp_path / "m" / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    events = run(config, tmp_path / "m", resume=True)
    notes = [e.text for e in events if e.kind == "note"]
    assert "last.ckpt is damaged and left aside" in notes
    assert "going on after epoch 1" in notes
    assert events[-1].kind == "finished"


def test_a_folder_with_other_things_is_never_written_into(data, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "letter.txt").write_text("hello")
    with pytest.raises(WriteError, match="not empty"):
        run(tiny(data), tmp_path / "m")
    with pytest.raises(WriteError, match="not empty"):
        run(tiny(data), tmp_path / "m", resume=True)


def test_a_loss_that_is_no_number_ends_with_advice_and_the_last_good_model(data, tmp_path, monkeypatch):
    from napari_specimen_seg.training.losses import SumOfLosses

    real = SumOfLosses.forward
    calls = []

    def spoil(self, logits, target):
        calls.append(0)
        return real(self, logits, target) * (float("nan") if len(calls) > 8 else 1.0)

    monkeypatch.setattr(SumOfLosses, "forward", spoil)
    with pytest.raises(SpecimenError, match=r"the loss became nan.*Lower the learning rate"):
        run(tiny(data, epochs=5), tmp_path / "m")
    assert (tmp_path / "m" / "checkpoints" / "best.safetensors").is_file()


def test_out_of_memory_halves_the_batch_and_says_so(data, tmp_path, monkeypatch):
    from napari_specimen_seg.training.task import SegmentationTask

    real = SegmentationTask.training_step

    def hungry(self, batch, batch_idx):
        if len(batch[0]) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(self, batch, batch_idx)

    monkeypatch.setattr(SegmentationTask, "training_step", hungry)
    events = run(tiny(data, epochs=1), tmp_path / "m")
    assert any("the batch is 2 from here on" in getattr(e, "text", "") for e in events)
    assert events[-1].kind == "finished"


def test_a_frozen_encoder_records_nothing_and_is_asked_once_for_each_fixed_view(data, tmp_path, monkeypatch):
    from segmentation_models_pytorch.encoders.timm_universal import TimmUniversalEncoder

    real, seen = TimmUniversalEncoder.forward, []

    def count(self, x):
        answer = real(self, x)
        seen.append((self.training, answer[-1].requires_grad, len(x)))
        return answer

    monkeypatch.setattr(TimmUniversalEncoder, "forward", count)
    monkeypatch.setattr("napari_specimen_seg.training.task.SegmentationTask._loss_of", lambda *_: 0.0)
    monkeypatch.setattr("napari_specimen_seg.training.task.LivePredictor.predict", _nothing)
    config = tiny(data, epochs=4, freeze_encoder=True)
    run(config, tmp_path / "anew")
    assert {(training, grad) for training, grad, _ in seen} == {(False, False)}
    seen.clear()
    events = run(config.changed({"learn": {"fixed_views": 2}}), tmp_path / "kept")
    assert sum(count for _, _, count in seen) <= 2 * 10 + 1  # one more to see which levels are used
    assert events[-1].kind == "finished"


@pytest.mark.parametrize("frozen", [False, True])
def test_batch_norms_follow_the_pictures_in_every_epoch_but_in_a_frozen_encoder(data, tmp_path, frozen):
    config = tiny(data, epochs=2, freeze_encoder=frozen)
    epochs = [e for e in run(config, tmp_path / "m") if e.kind == "epoch"]
    steps = 3 * max(e.epoch for e in epochs if e.best)  # ten pictures in batches of four
    seen = {key: int(n) for key, n in weights_of(tmp_path / "m").items() if "num_batches_tracked" in key}
    assert {n for key, n in seen.items() if not key.startswith("encoder.")} == {steps}
    assert {n for key, n in seen.items() if key.startswith("encoder.")} == {0 if frozen else steps}


def test_single_pictures_teach_networks_that_pool_all_of_a_picture(data, tmp_path):
    config = tiny(data, epochs=1, batch_size=1).changed(
        {"network": {"architecture": "DeepLabV3Plus", "options": {"decoder_channels": 16}}}
    )
    assert run(config, tmp_path / "m")[-1].kind == "finished"
    steps = {int(n) for key, n in weights_of(tmp_path / "m").items() if "num_batches_tracked" in key}
    assert steps == {0, 10}  # the one behind the pooling keeps its statistics


def test_dice_alone_learns_from_scratch(data, tmp_path):
    config = tiny(data, epochs=12, losses={"dice": 1.0}, head="binary", schedule="one_cycle", lr=1e-2)
    events = [e for e in run(config, tmp_path / "m") if e.kind == "epoch"]
    assert events[-1].loss < 0.5 * events[0].loss
    assert max(e.mean_iou for e in events) > 0.8


def _nothing(self, image, settings):
    from napari_specimen_seg.core.image import Prediction

    return Prediction(np.zeros((64, 64), np.uint8), None, self.card.class_map, {})


def test_kept_features_on_disk_are_those_in_memory(data, tmp_path, monkeypatch):
    config = tiny(data, epochs=3, freeze_encoder=True, fixed_views=1)
    run(config, tmp_path / "memory")
    monkeypatch.setattr("napari_specimen_seg.training.feature_store.MEMORY_SHARE", 0.0)
    run(config, tmp_path / "disk")
    monkeypatch.setattr("napari_specimen_seg.training.feature_store.DISK_SHARE", 0.0)
    run(config, tmp_path / "anew")
    first, second, third = (weights_of(tmp_path / name) for name in ("memory", "disk", "anew"))
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert all(np.array_equal(first[key], third[key]) for key in first)


def test_sparse_labels_learn_from_labelled_pixels_only(data, tmp_path):
    for path in (data / "labels").iterdir():
        mask = np.asarray(Image.open(path)).copy()
        mask[:, ::3] = 7
        Image.fromarray(mask).save(path)
    config = tiny(data, epochs=1).changed({"data": {"ignore_id": 7}})
    assert run(config, tmp_path / "m")[-1].kind == "finished"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda d: Image.fromarray(np.zeros((5, 6), np.uint8)).save(d / "labels" / "p03.png"),
            "5 x 6 pixels",
        ),
        (lambda d: (d / "images" / "p03.png").write_bytes(b"\x89PNG"), "p03.png"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused_before_anything_trains(data, tmp_path, spoil, words):
    spoil(data)
    with pytest.raises(SpecimenError, match=words):
        run(tiny(data), tmp_path / "m")


def test_the_check_names_twins_across_the_split(data, tmp_path):
    content = (data / "images" / "p00.png").read_bytes()
    for number in range(12):
        (data / "images" / f"p{number:02}.png").write_bytes(content)
        (data / "labels" / f"p{number:02}.png").write_bytes((data / "labels" / "p00.png").read_bytes())
    notes = [e.text for e in run(tiny(data, epochs=1), tmp_path / "m") if e.kind == "note"]
    assert any(note.startswith("the same picture is learned from and validated on") for note in notes)


def test_learning_on_from_a_model_with_other_classes_gets_a_new_head(data, tmp_path):
    from napari_specimen_seg.training.start import taken_over

    run(tiny(data, epochs=1), tmp_path / "first")
    config = tiny(data, epochs=1, head="softmax")
    config = taken_over(config, str(tmp_path / "first"))
    events = run(config, tmp_path / "second")
    assert events[-1].kind == "finished"


def test_classes_that_a_model_knows_by_name_keep_what_was_learned(data, tmp_path):
    from napari_specimen_seg.core.classes import ClassMap, LabelClass
    from napari_specimen_seg.models.bundle import read_card
    from napari_specimen_seg.training.run import prepare, starting_network
    from napari_specimen_seg.training.start import taken_over

    run(tiny(data, epochs=1), tmp_path / "first")
    more = ClassMap(
        classes=(
            LabelClass(id=0, name="background", color="#000000"),
            LabelClass(id=1, name="label", color="#00ff00"),
            LabelClass(id=2, name="specimen", color="#0000ff"),
        )
    )
    config = tiny(data).changed({"data": {"class_map": more, "kind": "classes"}})
    config = taken_over(config.changed({"data": {"labels": _as_ids(data)}}), str(tmp_path / "first"))
    network = starting_network(config, prepare(config).card, [1, 1, 1])
    old = weights_of(tmp_path / "first")["segmentation_head.0.weight"]
    new = network.segmentation_head[0].weight.detach().numpy()
    assert read_card(tmp_path / "first").head.kind == "binary"
    assert np.array_equal(new[2], old[0])
    assert not new[:2].any()


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "binary"])
def test_a_new_network_expects_every_class_as_often_as_it_occurs(data, head):
    from napari_specimen_seg.training.run import prepare

    task = prepare(tiny(data, head=head)).make_task()
    share = task.samples.counts.sum(0)[1] / task.samples.counts.sum()
    bias = task.network.segmentation_head[0].bias.detach()
    chance = bias.softmax(0)[1] if head == "softmax" else bias.sigmoid()[0]
    assert float(chance) == pytest.approx(share)


def _as_ids(data):
    folder = data / "ids"
    folder.mkdir()
    for path in (data / "labels").iterdir():
        Image.fromarray((np.asarray(Image.open(path)) // 255 * 2).astype(np.uint8)).save(folder / path.name)
    return folder


def test_a_frozen_encoder_that_knows_nothing_is_told(data, tmp_path):
    notes = [
        e.text for e in run(tiny(data, epochs=1, freeze_encoder=True), tmp_path / "m") if e.kind == "note"
    ]
    assert any("begins with random numbers" in note for note in notes)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_runs_at_toy_size(name, data, tmp_path):
    """The recipe's own settings but for size, network and length."""
    if name == "balanced":
        classes = {"class_map": PRESETS["specimen"], "kind": "binary"}
    else:
        classes = {"kind": "binary"} if name == "fish-traits" else {}
    config = RECIPES[name].changed(
        {
            "data": {"images": data / "images", "labels": data / "labels", "split": "random", **classes},
            "network": {"encoder": "tu-resnet10t", "options": dict(RECIPES[name].network.options)},
            "input": {"geometry": {**RECIPES[name].input.geometry.model_dump(), **_small(RECIPES[name])}},
            "learn": {
                "epochs": 1,
                "batch_size": 4,
                "frozen_epochs": min(1, RECIPES[name].learn.frozen_epochs),
            },
            "run": {"device": "cpu"},
        }
    )
    assert run(config, tmp_path / "m")[-1].kind == "finished"


def _small(recipe):
    kind = recipe.input.geometry.kind
    return {"tiles": {"size": 64, "halo": 16}, "pad": {"size": 64}, "resize": {"height": 64, "width": 96}}[
        kind
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_the_command_line_speaks_json_and_stops_on_request(data, tmp_path):
    settings = tmp_path / "t.toml"
    settings.write_text(tiny(data, epochs=500).to_toml())
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "napari_specimen_seg",
        "train",
        "--config",
        str(settings),
    ]
    with subprocess.Popen(
        [*command, "-o", str(tmp_path / "m"), "--progress", "json"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line)["event"] == "epoch":
                break
        os.kill(child.pid, signal.SIGINT)
        rest = [json.loads(line) for line in child.stdout]
    assert child.returncode == 0
    assert rest[-1]["event"] == "finished"
    assert (tmp_path / "m" / "card.json").is_file()


def test_the_finder_suggests_a_rate_where_the_loss_falls(data, tmp_path):
    from napari_specimen_seg.training.lr_find import find_rate, write_curve

    seen = []
    curve = find_rate(tiny(data), lowest=1e-5, highest=10, steps=40, report=seen.append)
    assert 1e-5 < curve.suggestion < 1
    assert len(curve.rates) == len(curve.losses) == len(seen)
    write_curve(curve, tmp_path / "rates")
    rows = (tmp_path / "rates" / "lr-find.csv").read_text().splitlines()
    assert rows[0] == "lr,loss"
    assert len(rows) == len(curve.rates) + 1
    assert (tmp_path / "rates" / "lr-find.png").stat().st_size > 1000


def test_the_finder_takes_single_pictures_as_the_training_does(data):
    from napari_specimen_seg.training.lr_find import find_rate

    config = tiny(data, batch_size=1).changed(
        {"network": {"architecture": "DeepLabV3Plus", "options": {"decoder_channels": 16}}}
    )
    curve = find_rate(config, lowest=1e-4, highest=1, steps=25)
    assert np.isfinite(curve.losses).all()


@pytest.mark.skipif(sys.platform != "linux", reason="gloo between processes is tested on Linux")
@pytest.mark.timeout(300)
def test_two_processes_train_one_model(data, tmp_path):
    settings = tmp_path / "t.toml"
    settings.write_text(tiny(data, epochs=2, batch_size=2, patience=1).to_toml())
    command = [sys.executable, "-W", "ignore", "-m", "napari_specimen_seg", "train"]
    command += ["--config", str(settings), "--devices", "2", "--strategy", "ddp", "-o", str(tmp_path / "m")]
    done = subprocess.run(
        [*command, "--progress", "json"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e["event"] for e in events].count("finished") == 1
    assert [e["epoch"] for e in events if e["event"] == "epoch"] == [1, 2]
    assert (tmp_path / "m" / "card.json").is_file()


def test_logs_for_tensorboard_hold_every_epoch(data, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = tiny(data).changed({"run": {"loggers": ["tensorboard"]}})
    events = run(config, tmp_path / "m")
    log = EventAccumulator(str(tmp_path / "m" / "tensorboard"))
    log.Reload()
    scores = [e.mean_iou for e in events if e.kind == "epoch"]
    assert [item.value for item in log.Scalars("score/mean iou")] == pytest.approx(scores)
    assert [item.step for item in log.Scalars("loss/learning")] == [1, 2]


@pytest.mark.timeout(300)
def test_logs_for_weights_and_biases_stay_here_unless_asked_to_leave(data, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    run(tiny(data, epochs=1).changed({"run": {"loggers": ["wandb"]}}), tmp_path / "m")
    assert list((tmp_path / "m" / "wandb").glob("offline-run-*"))


def test_a_log_whose_package_is_missing_is_one_line(data, tmp_path, monkeypatch):
    import lightning.pytorch.loggers as theirs

    def missing(*args, **kwargs):
        raise ModuleNotFoundError("no wandb")

    monkeypatch.setattr(theirs, "WandbLogger", missing)
    with pytest.raises(SpecimenError, match=r"pip install 'napari-specimen-seg\[wandb\]'"):
        run(tiny(data).changed({"run": {"loggers": ["wandb"]}}), tmp_path / "m")
