"""The commands that bring models in and pass them on."""

import json

import numpy as np
import pytest
import torch
import yaml

from fake_hub import FIRST, running_hub
from napari_specimen_seg.cli import main
from napari_specimen_seg.core.input_settings import Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models.bundle import read_card, write_bundle
from napari_specimen_seg.models.card import Attribution, Training
from napari_specimen_seg.models.network import build_network
from napari_specimen_seg.models.predictor import load_model
from test_models import card as make_card

SMALL = {"encoder_depth": 3, "decoder_channels": (16, 8, 8)}


@pytest.fixture
def model(tmp_path):
    """Return a model folder of ours, with all that a card can say."""
    card = make_card(
        name="leaf-parts",
        encoder="resnet18",
        options=SMALL,
        preprocessing=Preprocessing(geometry=Tiles(size=64, halo=16)),
        description="Finds leaves.",
        license="CC-BY-4.0",
        scores={"val": {"mean iou": 0.81}},
        training=Training(data="sheets", pictures=12, attribution=(Attribution(title="Doe 2020"),)),
    )
    torch.manual_seed(0)
    write_bundle(tmp_path / "leaf-parts", card, build_network(card).state_dict())
    return tmp_path / "leaf-parts"


def run(capsys, *words):
    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


@pytest.fixture
def onnx_file(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx_files import by_pixel, node, save

    model = by_pixel([[1, 0, 0], [0, 1, 0]], ending=[node("Softmax", ["logits"], ["scores"], axis=1)])
    return save(model, tmp_path / "net.onnx")


def test_what_the_file_does_not_tell_names_the_options(onnx_file, tmp_path, capsys):
    code, out, err = run(capsys, "models", "import", onnx_file, "-o", tmp_path / "out")
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert "--classes" in last
    assert "--preprocessing (imagenet, zero-one" in last
    assert not (tmp_path / "out").exists()


def test_an_imported_model_is_a_model_folder(onnx_file, tmp_path, capsys):
    words = ["--classes", "background,leaf", "--preprocessing", "zero-one", "--license", "MIT"]
    code, out, _ = run(capsys, "models", "import", onnx_file, "-o", tmp_path / "out", *words)
    assert (code, out) == (0, f"{tmp_path / 'out'}\n")
    card = read_card(tmp_path / "out")
    assert (card.name, card.license, card.class_map.by_id(1).name) == ("out", "MIT", "leaf")
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[..., 1] = 9
    assert (load_model(tmp_path / "out").predict(picture).labels == 1).all()


def test_without_a_place_a_model_goes_to_the_own_models(onnx_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "models"))
    words = ["--classes", "background,leaf", "--preprocessing", "zero-one", "--json"]
    code, out, _ = run(capsys, "models", "import", onnx_file, *words)
    assert code == 0
    assert json.loads(out)["path"] == str(tmp_path / "models" / "net")
    code, out, _ = run(capsys, "models")
    assert "net  (own, " in out


def test_nothing_is_overwritten_unless_asked(onnx_file, model, capsys):
    words = ["--classes", "background,leaf", "--preprocessing", "zero-one"]
    before = (model / "card.json").read_bytes()
    code, _, err = run(capsys, "models", "import", onnx_file, "-o", model, *words)
    assert (code, "the folder exists" in err) == (1, True)
    assert (model / "card.json").read_bytes() == before
    assert run(capsys, "models", "import", onnx_file, "-o", model, *words, "--overwrite")[0] == 0
    assert sorted(path.name for path in model.iterdir()) == ["README.md", "card.json", "model.onnx"]


def test_an_unknown_file_is_one_line(tmp_path, capsys):
    (tmp_path / "holiday.pth").write_bytes(b"not a network")
    code, out, err = run(capsys, "models", "import", tmp_path / "holiday.pth", "-o", tmp_path / "out")
    assert (code, out) == (1, "")
    assert "holiday.pth" in err.splitlines()[-1]
    assert run(capsys, "models", "import", tmp_path / "nothing.pth")[0] == 1


def test_pushed_and_pulled_a_model_is_the_same(model, tmp_path, capsys, monkeypatch):
    from huggingface_hub import constants

    code, out, err = run(capsys, "models", "push", model, "-o", tmp_path / "upload")
    assert (code, out) == (0, f"{tmp_path / 'upload'}\n")
    assert "hf upload OWNER/NAME" in err
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add("doe/leaf-parts", {p.name: p.read_bytes() for p in (tmp_path / "upload").iterdir()})
        code, out, err = run(capsys, "models", "pull", "doe/leaf-parts")
    assert (code, f"at {FIRST[:12]}" in err) == (0, True)
    assert load_model("doe/leaf-parts").card == read_card(model)
    code, out, _ = run(capsys, "models", "info", "doe/leaf-parts", "--json")
    assert json.loads(out)["card"]["name"] == "leaf-parts"


def test_the_page_for_people_tells_the_hub_what_it_wants(model, tmp_path, capsys):
    import segmentation_models_pytorch as smp

    run(capsys, "models", "push", model, "-o", tmp_path / "upload")
    page = (tmp_path / "upload" / "README.md").read_text("utf-8")
    _, head, text = page.split("---\n", 2)
    head = yaml.safe_load(head)
    assert (head["license"], head["pipeline_tag"]) == ("cc-by-4.0", "image-segmentation")
    metric = head["model-index"][0]["results"][0]["metrics"][0]
    assert (metric["type"], metric["value"]) == ("mean_iou", 0.81)
    for words in ("Finds leaves.", "Doe 2020", "CC-BY-4.0", "models pull OWNER/NAME", "What to expect"):
        assert words in text
    theirs = smp.from_pretrained(str(tmp_path / "upload")).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(theirs(x), load_model(model).network(x))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", {"license": "unknown"}),
        ("MIT", {"license": "mit"}),
        ("CC-BY-NC-4.0", {"license": "cc-by-nc-4.0"}),
        ("Etalab-2.0", {"license": "other", "license_name": "etalab-2.0"}),
    ],
)
def test_licences_are_told_in_the_words_of_the_hub(given, told):
    from napari_specimen_seg.models.sharing import front_matter

    front = front_matter(make_card(license=given))
    assert {key: value for key, value in front.items() if key.startswith("license")} == told


def test_a_model_is_exported_to_a_file(onnx_file, tmp_path, capsys):
    words = ["--classes", "background,leaf", "--preprocessing", "zero-one"]
    run(capsys, "models", "import", onnx_file, "-o", tmp_path / "leaf", *words)
    for kind, target, made in (
        ("onnx", tmp_path / "out", tmp_path / "out" / "leaf.onnx"),
        ("onnx", tmp_path / "a.onnx", tmp_path / "a.onnx"),
        ("bioimageio", tmp_path / "a.zip", tmp_path / "a.zip"),
        ("bioimageio", tmp_path / "package", tmp_path / "package"),
    ):
        code, out, _ = run(capsys, "export", tmp_path / "leaf", "-o", target, "--format", kind)
        assert (code, out) == (0, f"{made}\n")
        assert made.exists()
        assert run(capsys, "export", tmp_path / "leaf", "-o", target, "--format", kind)[0] == 1
    assert run(capsys, "export", tmp_path / "leaf", "-o", tmp_path / "x", "--format", "word")[0] == 2
