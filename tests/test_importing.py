"""The one door for models from elsewhere: what a file is, what it is called, and what is asked."""

import json
import os
import zipfile

import pytest
import torch

from napari_specimen_seg.core.errors import ModelError, ReadError
from napari_specimen_seg.core.input_settings import ByRange, FixedResize, PadToSquare, Tiles
from napari_specimen_seg.models.archives import names_in, open_archive, safe_name
from napari_specimen_seg.models.bundle import read_card, readme, write_bundle
from napari_specimen_seg.models.card import Sigmoid, Softmax
from napari_specimen_seg.models.importing import (
    ImportOptions,
    Question,
    QuestionsError,
    import_model,
    kind_of,
    model_name,
)
from napari_specimen_seg.models.presets import (
    class_map_of_names,
    classes_and_head,
    explained,
    preprocessing_names,
    preprocessing_of,
)
from test_models import card as make_card


@pytest.fixture
def folder(tmp_path):
    write_bundle(tmp_path / "leaf", make_card(name="leaf"), {"a": torch.zeros(2)})
    return tmp_path / "leaf"


def zipped(folder, target, inside=""):
    with zipfile.ZipFile(target, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, inside + path.name)
    return target


# -- what a file is --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["card.json", "model.safetensors"], "folder"),
        (["config.json", "model.safetensors"], "pretrained"),
        (["rdf.yaml", "weights.onnx"], "bioimageio"),
        (["shark.bioimageio.yaml"], "bioimageio"),
    ],
)
@pytest.mark.parametrize("inside", ["", "top/"])
def test_folders_and_archives_are_known_by_what_is_in_them(names, kind, inside, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    for name in names:
        (place / name).write_bytes(b"x")
    assert kind_of(place) == kind
    assert kind_of(zipped(place, tmp_path / "a.zip", inside)) == kind


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("net.onnx", b"", "onnx"),
        ("rdf.yaml", b"", "bioimageio"),
        ("net.pth", b"", "checkpoint"),
        ("net.zip", b"PK\x03\x04 cut", "checkpoint"),
        ("net", b"\x80\x02", "checkpoint"),
    ],
)
def test_files_are_known_by_content_or_else_by_ending(name, content, kind, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert kind_of(tmp_path / name) == kind


def test_what_is_no_model_at_all_is_one_line(tmp_path):
    with pytest.raises(ModelError, match="the folder holds no model"):
        import_model(tmp_path, tmp_path / "out")
    with pytest.raises(ReadError, match="no such file"):
        import_model(tmp_path / "nothing", tmp_path / "out")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "net.pth")
    with pytest.raises(ReadError, match="neither a file nor a folder"):
        import_model(tmp_path / "net.pth", tmp_path / "out")


@pytest.mark.parametrize("inside", ["", "leaf/"])
def test_a_zipped_model_folder_opens(folder, tmp_path, inside):
    done = import_model(zipped(folder, tmp_path / "leaf.zip", inside), tmp_path / "out")
    assert done.card.sha256 == read_card(folder).sha256
    assert read_card(tmp_path / "out").name == "out"


def test_an_altered_zipped_model_is_refused(folder, tmp_path):
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ModelError, match="altered or cut short"):
        import_model(zipped(folder, tmp_path / "leaf.zip"), tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Trained_model_SM", "Trained_model_SM"),
        ("../évil/näme", "evil-name"),
        ("–", "model"),
        ("a" * 300, "a" * 100),
    ],
)
def test_names_become_such_as_a_card_may_have(text, name):
    assert model_name(text) == name
    assert make_card(name=model_name(text)).name == name


def test_a_question_names_its_option_and_likely_answers():
    questions = (
        Question("classes", "What are its 2 classes called?"),
        Question("preprocessing", "How are pictures scaled?", ("imagenet", "zero-one")),
    )
    told = str(QuestionsError(questions, path="net.pth"))
    assert told == (
        "net.pth: What are its 2 classes called? How are pictures scaled. "
        "Give --classes and --preprocessing (imagenet, zero-one)."
    )
    assert set(ImportOptions.model_fields) >= {question.field for question in questions}


# -- archives --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "/etc/passwd",
        "../a",
        "a/../../b",
        "~/a",
        "a\\b",
        "C:/a",
        "a\0b",
        "a\nb",
        "con. ",
        "a/b. /c",
        "x" * 600,
    ],
)
def test_names_that_could_lead_elsewhere_are_unsafe(name):
    assert not safe_name(name)


@pytest.mark.parametrize("name", ["a", "a/b.npy", "weights v2.pt", "..a/b", "größe.pt"])
def test_ordinary_names_are_safe(name):
    assert safe_name(name)


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.safetensors", bytes(50_000_000))
    with pytest.raises(ModelError, match="far more than it has"), open_archive(tmp_path / "a.zip"):
        pass


def test_a_damaged_entry_is_noticed(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"0123456789")
    content = (tmp_path / "a.zip").read_bytes().replace(b"0123456789", b"0123456788")
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ModelError, match="a is damaged"), open_archive(tmp_path / "a.zip") as archive:
        archive.read("a")


def test_a_lying_table_of_contents_is_not_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"x")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[-10:-6] = (2**31).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    assert names_in(tmp_path / "a.zip") == []
    with pytest.raises(ModelError, match="damaged"), open_archive(tmp_path / "a.zip"):
        pass


# -- what a person says ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "channels", "kind", "ids"),
    [
        ("leaf", 1, "binary", (0, 1)),
        ("background, leaf", 1, "binary", (0, 1)),
        ("background, leaf", 2, "softmax", (0, 1)),
        ("leaf, background, stem", 3, "softmax", (1, 0, 2)),
        ("leaf, stem", 2, "sigmoid", (0, 1, 2)),
        ("fish-traits", 12, "sigmoid", tuple(range(13))),
        ("fish-traits", 13, "softmax", tuple(range(13))),
        ("a, b", 0, "softmax", (0, 1, 2)),
    ],
)
def test_classes_and_channels_say_which_head(text, channels, kind, ids):
    class_map, head = classes_and_head(text, channels)
    assert (head.kind, class_map.ids) == (kind, ids)


def test_a_class_map_file_is_taken(tmp_path):
    background = {"id": 0, "name": "background", "color": "#000000"}
    leaf = {"id": 7, "name": "leaf", "color": "#00ff00"}
    (tmp_path / "classes.json").write_text(json.dumps({"classes": [background, leaf]}))
    class_map, head = classes_and_head(str(tmp_path / "classes.json"), 2)
    assert (class_map.by_name("leaf").id, head.kind) == (7, "softmax")


@pytest.mark.parametrize(
    ("text", "geometry"),
    [
        ("imagenet", Tiles()),
        ("imagenet:tiles=64", Tiles(size=64, halo=16)),
        ("imagenet:pad=512", PadToSquare(size=512)),
        ("imagenet:resize=320x800", FixedResize(height=320, width=800)),
    ],
)
def test_a_preset_may_say_how_the_size_meets_the_network(text, geometry):
    assert preprocessing_of(text, 3).geometry == geometry
    assert explained(text)


def test_a_preset_of_the_encoder_is_explained():
    assert explained("pretrained") == "as the encoder was pre-trained; in tiles at the picture's own scale"
    assert explained("pretrained:pad=512").startswith("as the encoder was pre-trained; the whole picture")


@pytest.mark.parametrize(
    "text", ["imagenet:cut=5", "imagenet:tiles=5x6", "imagenet:pad=9999999", "imagenet:tiles=1"]
)
def test_geometries_that_cannot_be_are_refused(text):
    with pytest.raises(ModelError):
        preprocessing_of(f"imagenet:{text}", 3)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_every_preset_that_is_offered_fits(channels):
    for name in preprocessing_names(channels):
        assert preprocessing_of(name, channels).in_channels == channels


def test_a_preprocessing_is_read_from_a_file_or_a_card(folder, tmp_path):
    card = read_card(folder)
    assert preprocessing_of(str(folder / "card.json"), 3) == card.preprocessing
    own = tmp_path / "own.json"
    own.write_text('{"channels": "gray", "values": {"kind": "range", "high": 4095}, "mean": [0], "std": [1]}')
    assert preprocessing_of(str(own), 1).values == ByRange(low=0, high=4095)
    with pytest.raises(ModelError, match="is for 1 channels, the model takes 3"):
        preprocessing_of(str(own), 3)


def test_the_page_for_people_does_not_make_up_pictures():
    assert "Not stated." in readme(make_card())
    assert "0 pictures" not in readme(make_card())


# -- what was assumed ------------------------------------------------------------------------------

ASSUMED = {"head": "one class per pixel", "preprocessing": "values from 0 to 1", "classes": "class 1"}


@pytest.fixture
def assumed(tmp_path):
    card = make_card(assumed=ASSUMED)
    write_bundle(tmp_path / "assumed", card, {"a": torch.zeros(2)})
    return tmp_path / "assumed"


def test_what_was_assumed_stands_in_the_card_and_on_the_page(assumed):
    assert read_card(assumed).assumed == ASSUMED
    assert "- `--head`: one class per pixel" in (assumed / "README.md").read_text("utf-8")


def test_cards_without_assumptions_are_as_they_were():
    assert "assumed" not in make_card().model_dump()


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, {"head", "preprocessing", "classes"}),
        ({"preprocessing": "imagenet:pad=512"}, {"head", "classes"}),
        ({"classes": "leaf"}, {"preprocessing"}),
        ({"classes": "leaf", "preprocessing": "zero-one"}, set()),
    ],
)
def test_what_was_assumed_can_be_put_right(assumed, tmp_path, options, left):
    made = import_model(assumed, tmp_path / "new", ImportOptions(**options)).card
    assert set(made.assumed or {}) == left
    assert made.out_channels == read_card(assumed).out_channels
    if "classes" in options:
        assert [entry.name for entry in made.class_map.foreground] == ["leaf"]
    if options.get("preprocessing") == "imagenet:pad=512":
        assert made.preprocessing.geometry == PadToSquare(size=512)


def test_what_was_taken_for_the_background_can_be_a_class(tmp_path):
    classes = class_map_of_names(["background", "a", "b"], 3)
    card = make_card(class_map=classes, head=Softmax(), assumed={"head": "one class per pixel"})
    write_bundle(tmp_path / "old", card, {"a": torch.zeros(2)})
    made = import_model(tmp_path / "old", tmp_path / "new", ImportOptions(head="sigmoid")).card
    assert [entry.name for entry in made.class_map] == ["background", "class 0", "a", "b"]
    assert (made.head, made.out_channels, made.assumed) == (Sigmoid(), 3, None)


@pytest.mark.parametrize("option", ["architecture", "encoder", "part"])
def test_what_a_model_folder_tells_itself_cannot_be_changed(assumed, tmp_path, option):
    with pytest.raises(ModelError, match=f"--{option} cannot be given"):
        import_model(assumed, tmp_path / "new", ImportOptions(**{option: "x"}))


def test_predict_reminds_of_what_was_assumed(assumed, tmp_path, capsys):
    from napari_specimen_seg.cli import main

    assert main(["predict", str(tmp_path), "-m", str(assumed), "-o", str(tmp_path / "out")]) in (0, 1)
    assert "assumed when it was imported: head, preprocessing, classes" in capsys.readouterr().err
