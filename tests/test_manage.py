"""The person's own models: names, renaming, and the trash."""

import pytest
import torch

from napari_specimen_seg.core.errors import ModelError, WriteError
from napari_specimen_seg.models import library
from napari_specimen_seg.models.bundle import read_card, read_weights, write_bundle
from napari_specimen_seg.models.manage import free_name, rename, shelf, throw_away
from test_models import card as make_card


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return the folder of own models, with one in it, one that came with the package and one of the Hub."""
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "own"))
    monkeypatch.setattr(library, "BUNDLED", tmp_path / "bundled")
    weights = {"a": torch.zeros(2)}
    write_bundle(tmp_path / "own" / "leaf", make_card(name="leaf"), weights)
    write_bundle(tmp_path / "bundled" / "beetle", make_card(name="beetle"), weights)
    origin = {"origin.json": '{"hub": {"repository": "doe/fern", "revision": "main", "commit": "abc"}}'}
    write_bundle(tmp_path / "own" / "hub" / "doe--fern", make_card(name="fern"), weights, beside=origin)
    return tmp_path / "own"


def model(name):
    return next(entry for entry in shelf() if entry.name == name)


@pytest.fixture
def trash(monkeypatch):
    """Stand in for the system's trash."""
    thrown = []
    monkeypatch.setattr("send2trash.send2trash", lambda path: thrown.append(path))
    return thrown


def test_the_shelf_tells_what_there_is(home):
    assert [(m.name, m.source, m.size is not None) for m in shelf()] == [
        ("beetle", "bundled", True),
        ("leaf", "own", True),
        ("doe/fern", "hub", True),
    ]
    assert model("doe/fern").origin.commit == "abc"
    (home / "leaf" / "card.json").write_text("{}")
    assert model("leaf").card is None
    assert "card is not valid" in model("leaf").problem


def test_a_renamed_model_keeps_its_weights(home):
    before = read_card(home / "leaf")
    assert rename(model("leaf"), "oak leaf 2") == home / "oak leaf 2"
    after = read_card(home / "oak leaf 2")
    assert (after.name, after.sha256) == ("oak leaf 2", before.sha256)
    assert read_weights(home / "oak leaf 2", after)["a"].tolist() == [0, 0]
    assert (home / "oak leaf 2" / "README.md").read_text().startswith("# oak leaf 2")
    assert not (home / "leaf").exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 200, "leaf?", "BEETLE", "Doe/fern"])
def test_names_that_cannot_be_are_refused(home, name):
    with pytest.raises(ModelError):
        rename(model("leaf"), name)
    assert sorted(path.name for path in home.iterdir()) == ["hub", "leaf"]


def test_a_folder_that_is_in_the_way_is_kept(home):
    (home / "notes").mkdir()
    with pytest.raises(WriteError, match="exists already"):
        rename(model("leaf"), "notes")


@pytest.mark.parametrize("name", ["beetle", "doe/fern"])
def test_only_own_models_are_renamed(home, name):
    with pytest.raises(ModelError, match="cannot be renamed"):
        rename(model(name), "other")


def test_own_and_pulled_models_go_to_the_trash(home, trash):
    for name in ("leaf", "doe/fern"):
        throw_away(model(name))
    assert trash == [home / "leaf", home / "hub" / "doe--fern"]
    with pytest.raises(ModelError, match="came with the package"):
        throw_away(model("beetle"))


def test_where_there_is_no_trash_a_model_stays(home, monkeypatch):
    def refuse(path):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr("send2trash.send2trash", refuse)
    with pytest.raises(WriteError, match=r"cannot be moved to the trash \(Permission denied\)"):
        throw_away(model("leaf"))
    assert (home / "leaf").is_dir()


def test_new_models_get_names_that_are_free(home):
    assert free_name("fresh.pth") == "fresh.pth"
    assert free_name("leaf") == "leaf-2"
    assert free_name("BEETLE") == "BEETLE-2"
    assert free_name("Müller's Farn/№5") == "Muller-s Farn-No5"
    assert free_name("…") == "model"
