"""Model cards, folders and the library: what is stored, found, and noticed when altered."""

import json
import shutil

import pytest

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import ModelError, SpecimenWarning, WriteError
from napari_specimen_seg.core.input_settings import PadToSquare
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models.bundle import read_card, read_weights, write_bundle
from napari_specimen_seg.models.card import Binary, ModelCard, Sigmoid, Softmax
from napari_specimen_seg.models.library import find_model, list_models

torch = pytest.importorskip("torch")


def card(**changes) -> ModelCard:
    content = {
        "name": "tiny",
        "architecture": "Unet",
        "encoder": "tu-resnet18",
        "class_map": PRESETS["specimen"],
        "head": Binary(),
        "preprocessing": Preprocessing(),
    }
    return ModelCard(**{**content, **changes})


@pytest.fixture
def folder(tmp_path):
    write_bundle(tmp_path / "tiny", card(), {"w": torch.arange(6.0), "n": torch.tensor(3)})
    return tmp_path / "tiny"


def test_a_model_folder_holds_card_weights_and_a_page_for_people(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "card.json", "model.safetensors"]
    stored = read_card(folder)
    assert stored.class_map == PRESETS["specimen"]
    assert read_weights(folder, stored)["w"].tolist() == [0, 1, 2, 3, 4, 5]
    assert "specimen" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["card.json", "model.safetensors"])
def test_every_flipped_bit_is_noticed(folder, name):
    content = bytearray((folder / name).read_bytes())
    for position in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[position] ^= 4
        (folder / name).write_bytes(flipped)
        with pytest.raises(ModelError) as caught:
            read_weights(folder, read_card(folder))
        assert "\n" not in str(caught.value)
    (folder / name).write_bytes(content)
    assert read_weights(folder, read_card(folder))


@pytest.mark.parametrize("name", ["card.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        read_weights(folder, read_card(folder))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("{}", "not valid"),
        ("null", "not valid"),
        ('{"format": 2}', "has format 2"),
        ("\ufeff{", "not valid JSON"),
    ],
)
def test_a_broken_card_is_one_line(folder, text, words):
    (folder / "card.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=words) as caught:
        read_card(folder)
    assert "\n" not in str(caught.value)


def test_an_existing_folder_is_replaced_only_when_asked_and_only_if_a_model(folder, tmp_path):
    with pytest.raises(WriteError, match="the folder exists"):
        write_bundle(folder, card(), {"w": torch.zeros(1)})
    write_bundle(folder, card(version="2"), {"w": torch.zeros(1)}, overwrite=True)
    assert read_card(folder).version == "2"
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "home.txt").write_text("hello")
    with pytest.raises(WriteError):
        write_bundle(tmp_path / "letters", card(), {}, overwrite=True)
    assert (tmp_path / "letters" / "home.txt").read_text() == "hello"


@pytest.mark.parametrize(
    "bad",
    [
        {"encoder": "os.system('x')"},
        {"architecture": "__import__"},
        {"name": "../../etc"},
        {"options": {"decoder_channels": (10**9,)}},
        {"class_map": PRESETS["beetle-parts"]},
        {"head": {"kind": "argmax"}},
        {"sha256": "abc"},
    ],
)
def test_cards_that_cannot_be_meant_are_refused(bad):
    with pytest.raises(ValueError, match="validation error"):
        card(**bad)


@pytest.mark.parametrize(
    "stranger", [{"architecture": "Nonet"}, {"encoder": "os.system"}, {"encoder": "tu-nothing"}]
)
def test_unknown_networks_are_refused_by_name(stranger):
    from napari_specimen_seg.models.network import build_network

    with pytest.raises(ModelError, match="is not known"):
        build_network(card(**stranger))


@pytest.mark.parametrize(
    ("head", "channels", "ids"),
    [
        (Softmax(), 10, tuple(range(10))),
        (Sigmoid(), 9, tuple(range(1, 10))),
    ],
)
def test_output_channels_follow_the_class_map(head, channels, ids):
    many = card(class_map=PRESETS["beetle-parts"], head=head)
    assert (many.out_channels, many.channel_ids) == (channels, ids)


def test_models_are_found_by_name_folder_and_card(folder, monkeypatch):
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(folder.parent))
    assert ("tiny", "own") in [(m.name, m.source) for m in list_models()]
    assert find_model("tiny") == folder
    assert find_model(folder) == folder
    assert find_model(folder / "card.json") == folder
    with pytest.raises(ModelError, match=r"nothing-like-it is no model.*tiny"):
        find_model("nothing-like-it")


def test_a_name_that_is_also_a_folder_here_is_told_once(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(folder.parent))
    here = tmp_path / "here"
    shutil.copytree(folder, here / "tiny")
    monkeypatch.chdir(here)
    with pytest.warns(SpecimenWarning, match=r"tiny: the model of this name in .* is used.*\./tiny|\.\\tiny"):
        assert find_model("tiny") == folder
    assert find_model("tiny") == folder
    assert find_model("./tiny").resolve() == (here / "tiny").resolve()


def test_the_fingerprint_covers_every_field():
    one = card().sealed()
    assert card(description="x").fingerprint() != one.card_sha256
    assert one.fingerprint() == one.card_sha256
    again = ModelCard.model_validate(
        json.loads(
            card(preprocessing=Preprocessing(geometry=PadToSquare(size=64))).sealed().model_dump_json()
        )
    )
    assert again.fingerprint() == again.card_sha256


def test_a_card_of_an_older_version_with_fewer_fields_is_still_the_same_card(folder):
    content = json.loads((folder / "card.json").read_text())
    del content["description"], content["card_sha256"]
    from napari_specimen_seg.models.card import checksum

    content["card_sha256"] = checksum(content)
    (folder / "card.json").write_text(json.dumps(content))
    assert read_card(folder).description == ""
