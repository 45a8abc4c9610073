"""bioimage.io packages: written so that others open them, opened without running what is in them."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

from napari_specimen_seg.core.errors import ModelError
from napari_specimen_seg.core.input_settings import (
    ByDtype,
    ByMoments,
    ByPercentile,
    ByRange,
    FixedResize,
    Tiles,
)
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models import bioimageio_export
from napari_specimen_seg.models.bioimageio_export import export_package, package_files
from napari_specimen_seg.models.bioimageio_rdf import Step
from napari_specimen_seg.models.bioimageio_steps import preprocessing_from, steps_of
from napari_specimen_seg.models.importing import ImportOptions, QuestionsError, import_model
from napari_specimen_seg.models.network import build_network
from napari_specimen_seg.models.predictor import Predictor, load_model
from onnx_files import by_pixel, node, save
from test_models import card as make_card

HERE = Path("package")
SMALL = {"encoder_depth": 3, "decoder_channels": (16, 8, 8)}


def onnx_model(folder, **options):
    """Return a model of ours that holds an ONNX network, which needs no conversion."""
    model = by_pixel([[4, 0, -1], [0, 4, -1]], ending=[node("Softmax", ["logits"], ["scores"], axis=1)])
    said = ImportOptions(**{"classes": "background,leaf", "preprocessing": "imagenet:tiles=64", **options})
    import_model(save(model, folder / "net.onnx"), folder / "made", said)
    return load_model(folder / "made")


@pytest.fixture
def torch_model(monkeypatch, tmp_path):
    """Return a model with a state dict; its ONNX twin, which takes long to convert, is left out."""
    stand_in = onnx_model(tmp_path)
    monkeypatch.setattr(bioimageio_export, "onnx_bytes", lambda *_: stand_in.network.net.content)
    preprocessing = Preprocessing(geometry=Tiles(size=64, halo=16))
    card = make_card(encoder="resnet18", options=SMALL, preprocessing=preprocessing, license="MIT")
    torch.manual_seed(0)
    return Predictor(card, build_network(card))


def picture():
    return np.random.default_rng(0).integers(0, 256, (90, 130, 3)).astype(np.uint8)


def changed(predictor, folder, change, name="package"):
    """Write a package whose description `change` has altered, as a folder."""
    files = package_files(predictor)
    description = yaml.safe_load(files["rdf.yaml"])
    change(description)
    if "napari_specimen_seg" not in description["config"] and "onnx" in description["weights"]:
        files["weights.onnx"] = without_card(files["weights.onnx"])
        checksum = hashlib.sha256(files["weights.onnx"]).hexdigest()
        description["weights"]["onnx"]["sha256"] = checksum
    place = folder / name
    place.mkdir()
    for file, content in {**files, "rdf.yaml": yaml.safe_dump(description).encode()}.items():
        (place / file).write_bytes(content)
    return place


def without_card(content):
    model = onnx.load_model_from_string(content)
    del model.metadata_props[:]
    return model.SerializeToString()


def foreign(description):
    """Make a description look as if somebody else had written it."""
    del description["config"]["napari_specimen_seg"]


# -- there and back --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.zip", "out"])
def test_a_package_comes_back_as_it_was(torch_model, tmp_path, name):
    path = export_package(torch_model, tmp_path / name)
    back = import_model(path, tmp_path / "back")
    assert back.notes[-1].startswith("reproduces the test of the package")
    same = {"name", "sha256", "card_sha256", "context"}  # how far it looks is measured on import
    assert back.card.model_dump(exclude=same) == torch_model.card.model_dump(exclude=same)
    original = Predictor(back.card, torch_model.network)  # in the same tiles
    assert (load_model(back.folder).predict(picture()).labels == original.predict(picture()).labels).all()


def test_the_same_model_gives_the_same_bytes(tmp_path):
    predictor = onnx_model(tmp_path)
    first, second = (export_package(predictor, tmp_path / f"{i}.zip").read_bytes() for i in range(2))
    assert first == second


@pytest.mark.parametrize("halo", [0, 16, 64, 100, 240])
def test_the_test_has_a_size_that_the_package_takes(torch_model, halo):
    preprocessing = Preprocessing(geometry=Tiles(size=512, halo=halo))
    card = torch_model.card.model_copy(update={"preprocessing": preprocessing})
    files = package_files(Predictor(card, torch_model.network))
    shape = np.load(io.BytesIO(files["test_picture.npy"])).shape
    axis = yaml.safe_load(files["rdf.yaml"])["inputs"][0]["axes"][2]["size"]
    halo_there = yaml.safe_load(files["rdf.yaml"])["outputs"][0]["axes"][2].get("halo", 0)
    assert shape[2] >= axis["min"] > 2 * halo_there
    assert (shape[2] - axis["min"]) % axis["step"] == 0


SCALINGS = ["imagenet", "zero-one", "percentile", "raw", "minus-one-one"]


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_package_says_all_that_others_need(tmp_path, scaling):
    """Without our own card in it, the description alone gives the same model."""
    predictor = onnx_model(tmp_path, preprocessing=f"{scaling}:tiles=64")
    back = import_model(changed(predictor, tmp_path, foreign), tmp_path / "back")
    assert back.card.class_map.model_dump()["classes"][1]["name"] == "leaf"
    assert (load_model(back.folder).predict(picture()).labels == predictor.predict(picture()).labels).all()


def test_a_known_network_is_rebuilt_from_the_description_alone(torch_model, tmp_path):
    back = import_model(changed(torch_model, tmp_path, foreign), tmp_path / "back")
    assert (back.card.architecture, back.card.encoder, back.card.license) == ("Unet", "resnet18", "MIT")
    assert back.card.head == torch_model.card.head
    x = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(load_model(back.folder).network(x), torch_model.network(x))


def test_a_package_of_the_older_format_opens(torch_model, tmp_path):
    def older(description):
        foreign(description)
        state = description["weights"]["pytorch_state_dict"]
        architecture = state.pop("architecture")
        state["architecture"] = f"{architecture['import_from']}.{architecture['callable']}"
        state["kwargs"] = architecture["kwargs"]
        description["format_version"] = "0.4.10"
        description["test_inputs"], description["test_outputs"] = (
            ["test_picture.npy"],
            ["test_probabilities.npy"],
        )
        steps = [
            {"name": step["id"], "kwargs": step["kwargs"]}
            for step in description["inputs"][0]["preprocessing"]
        ]
        steps[1]["name"], steps[1]["kwargs"]["mode"] = "zero_mean_unit_variance", "fixed"
        steps[1]["kwargs"].pop("axis")
        description["inputs"] = [
            {
                "name": "input0",
                "axes": "bcyx",
                "data_type": "uint8",
                "shape": {"min": [1, 3, 64, 64], "step": [0, 0, 8, 8]},
                "preprocessing": steps,
            }
        ]
        description["outputs"] = [
            {
                "name": "output0",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": {
                    "reference_tensor": "input0",
                    "scale": [1, 0, 1, 1],
                    "offset": [0, 0.5, 0, 0],
                },
                "postprocessing": [{"name": "sigmoid"}],
                "halo": [0, 0, 16, 16],
            }
        ]

    back = import_model(
        changed(torch_model, tmp_path, older), tmp_path / "back", ImportOptions(classes="leaf")
    )
    assert back.notes[-1].startswith("reproduces the test")
    assert back.card.preprocessing.geometry == Tiles(size=512, halo=16, fitted=False)


# -- steps -----------------------------------------------------------------------------------------

GRAY = np.linspace(3, 200, 64).reshape(8, 8)


def reference(name, arguments, x):
    """Return what bioimage.io's definition of a step makes of a picture."""
    match name:
        case "scale_linear":
            return x * arguments.get("gain", 1) + arguments.get("offset", 0)
        case "fixed_zero_mean_unit_variance":
            return (x - arguments["mean"]) / arguments["std"]
        case "zero_mean_unit_variance":
            return (x - x.mean()) / (x.std() + 1e-6)
        case "scale_range":
            low, high = np.percentile(x, [arguments["min_percentile"], arguments["max_percentile"]])
            return (x - low) / (high - low + 1e-6)
        case "clip":
            return x.clip(arguments["min"], arguments["max"])
    return x


WAYS = {
    "linear": [("scale_linear", {"gain": 0.5, "offset": -3.0})],
    "fixed": [("fixed_zero_mean_unit_variance", {"mean": 12.0, "std": 7.0})],
    "two in a row": [
        ("scale_linear", {"gain": 1 / 255}),
        ("fixed_zero_mean_unit_variance", {"mean": 0.4, "std": 0.2}),
    ],
    "moments": [("zero_mean_unit_variance", {"axes": ["y", "x"]})],
    "moments after scaling": [("scale_linear", {"gain": 3.0}), ("zero_mean_unit_variance", {})],
    "percentiles": [("scale_range", {"min_percentile": 0.0, "max_percentile": 100.0})],
    "clipped": [
        ("scale_range", {"min_percentile": 0.0, "max_percentile": 100.0}),
        ("clip", {"min": 0.0, "max": 1.0}),
        ("scale_linear", {"gain": 2.0, "offset": -1.0}),
    ],
    "cast": [("ensure_dtype", {"dtype": "float32"})],
}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("way", WAYS)
def test_steps_become_the_preprocessing_that_computes_the_same(way, dtype):
    plane = GRAY.astype(dtype)
    steps = [Step(name, arguments) for name, arguments in WAYS[way]]
    made = preprocessing_from(steps, 1, dtype, Tiles(), HERE)
    expected = plane.astype(np.float64)
    for name, arguments in WAYS[way]:
        expected = reference(name, arguments, expected)
    found = made.normalise(plane[..., None], made.value_range(plane))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "values", [ByDtype(), ByRange(low=10, high=90), ByRange(), ByMoments(), ByPercentile()]
)
@pytest.mark.parametrize("mean", [0.0, 0.4])
def test_our_preprocessing_becomes_steps_and_back(values, mean):
    made = Preprocessing(channels="gray", values=values, mean=(mean,), std=(1.0 if not mean else 0.2,))
    steps = [Step(step["id"], step.get("kwargs", {})) for step in steps_of(made)]
    dtype = "uint8" if isinstance(values, ByDtype) else "float32"
    back = preprocessing_from(steps, 1, dtype, made.geometry, HERE)
    plane = GRAY.astype(dtype)
    one, two = (p.normalise(plane[..., None], p.value_range(plane)) for p in (made, back))
    np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize(
    ("steps", "channels"),
    [
        ([Step("zero_mean_unit_variance", {"axes": ["y", "x"]})], 3),  # each channel by itself
        ([Step("scale_range", {"reference_tensor": "other"})], 1),
        ([Step("sigmoid", {})], 1),
        ([Step("clip", {"min": 0, "max": 1})], 1),
        ([Step("binarize", {"threshold": 0.5})], 1),
        ([Step("ensure_dtype", {"dtype": "uint8"})], 1),
        ([Step("scale_linear", {"gain": -1.0})], 1),
        ([Step("fixed_zero_mean_unit_variance", {"mean": [1, 2], "std": [1, 1]})], 3),
        ([Step("somebody.code", {})], 1),
    ],
)
def test_steps_that_cannot_be_said_here_are_refused(steps, channels):
    with pytest.raises(ModelError):
        preprocessing_from(steps, channels, "float32", Tiles(), HERE)


# -- what is asked and refused ---------------------------------------------------------------------


def test_classes_that_are_only_numbered_are_asked_for(tmp_path):
    def numbered(description):
        foreign(description)
        description["outputs"][0]["axes"][1]["channel_names"] = ["channel0", "channel1"]

    package = changed(onnx_model(tmp_path), tmp_path, numbered)
    with pytest.raises(QuestionsError) as caught:
        import_model(package, tmp_path / "back")
    assert [question.field for question in caught.value.questions] == ["classes"]
    said = ImportOptions(classes="background,leaf")
    assert import_model(package, tmp_path / "back", said).card.class_map.by_name("leaf").id == 1


def own_code(description):
    foreign(description)
    state = description["weights"]["pytorch_state_dict"]
    state["architecture"] = {"source": "evil.py", "callable": "Net", "sha256": "0" * 64}
    del description["weights"]["onnx"]


def other_library(description):
    foreign(description)
    state = description["weights"]["pytorch_state_dict"]
    state["architecture"] = {"import_from": "os", "callable": "system", "kwargs": {"command": "true"}}
    del description["weights"]["onnx"]


def in_architecture(**kwargs):
    def change(description):
        foreign(description)
        description["weights"]["pytorch_state_dict"]["architecture"]["kwargs"].update(kwargs)

    return change


def with_source(source):
    def change(description):
        description["weights"]["pytorch_state_dict"]["source"] = source

    return change


def custom_step(description):
    foreign(description)
    description["outputs"][0]["postprocessing"] = [{"id": "custom", "callable": "f", "source": "evil.py"}]


def wrong_checksum(description):
    description["weights"]["pytorch_state_dict"]["sha256"] = "0" * 64


def other_scaling(description):
    foreign(description)
    description["inputs"][0]["preprocessing"][0]["kwargs"]["gain"] = 1.0


REFUSED = {
    "code of its own": (own_code, r"built by foreign code \(evil.py\), which is not run"),
    "another library": (other_library, r"built by foreign code \(os.system\)"),
    "an encoder that is none": (in_architecture(encoder_name="os.system"), "not known"),
    "an enormous decoder": (in_architecture(decoder_channels=[10**9] * 3), "refused"),
    "weights to fetch": (with_source("https://example.org/w.pt"), "takes a file from elsewhere"),
    "a file of the system": (with_source("file:///etc/passwd"), "takes a file from elsewhere"),
    "an absolute path": (with_source("/etc/passwd"), "takes a file from elsewhere"),
    "a way out": (with_source("../weights.pt"), "takes a file from elsewhere"),
    "a step of its own": (custom_step, "needs code of its own after the network"),
    "another file": (wrong_checksum, "was altered"),
    "another answer": (other_scaling, "differs from the test of the package"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trusted_is_refused_in_one_line(name, torch_model, tmp_path):
    change, words = REFUSED[name]
    package = changed(torch_model, tmp_path, change)
    (package / "evil.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    with pytest.raises(ModelError, match=words) as caught:
        import_model(package, tmp_path / "back")
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "back").exists()


def test_onnx_weights_are_taken_where_the_network_is_built_by_code(tmp_path):
    def change(description):
        foreign(description)
        architecture = {"source": "unet.py", "callable": "UNet", "sha256": "0" * 64}
        state = {"source": "weights.pt", "architecture": architecture, "pytorch_version": "1.0"}
        description["weights"]["pytorch_state_dict"] = state

    back = import_model(changed(onnx_model(tmp_path), tmp_path, change), tmp_path / "back")
    assert back.card.onnx is not None


def test_a_link_in_a_package_is_not_followed(torch_model, tmp_path):
    package = changed(torch_model, tmp_path, lambda description: None)
    (package / "weights.pt").rename(tmp_path / "elsewhere.pt")
    (package / "weights.pt").symlink_to(tmp_path / "elsewhere.pt")
    with pytest.raises(ModelError, match="is a link"):
        import_model(package, tmp_path / "back")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "describes no model"),
        ("weights: {", "not valid YAML"),
        ("!!python/object/apply:os.system [true]", "asks for objects"),
        ("a: &a {k: v}\nweights: {<<: *a}", "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
        ("weights: {onnx: {source: w.onnx}}", "lacks inputs"),
        ("weights: {onnx: {source: w.onnx}}\ninputs: [1]\noutputs: [2]", "not valid"),
    ],
)
def test_broken_descriptions_are_one_line(text, words, tmp_path):
    (tmp_path / "rdf.yaml").write_text(text)
    with pytest.raises(ModelError, match=words) as caught:
        import_model(tmp_path, tmp_path / "back")
    assert len(str(caught.value).splitlines()) == 1


def manifest():
    file = Path(__file__).resolve().parents[2] / "shared" / "bad_inputs" / "manifest.json"
    items = json.loads(file.read_text())["items"] if file.is_file() else []
    return [
        item for item in items if item["id"].startswith("bundle/") and item["expect"] in ("refuse", "error")
    ]


@pytest.mark.parametrize("item", manifest(), ids=lambda item: item["id"])
def test_hostile_archives_are_refused(item, shared, tmp_path, monkeypatch):
    canaries = tmp_path / "canaries"
    canaries.mkdir()
    monkeypatch.setenv("BAD_CANARY_DIR", str(canaries))
    with pytest.raises(ModelError) as caught:
        import_model(shared / "bad_inputs" / item["path"], tmp_path / "out", ImportOptions(classes="leaf"))
    assert len(str(caught.value).splitlines()) == 1
    assert list(canaries.iterdir()) == []
    assert not (tmp_path / "out").exists()
    assert not Path("/tmp/canary_yaml").exists()


def test_a_zip_with_a_way_out_is_refused(torch_model, tmp_path):
    path = export_package(torch_model, tmp_path / "out.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../evil.py", "")
    with pytest.raises(ModelError, match="leads outside"):
        import_model(path, tmp_path / "back")


# -- the zoo's own tools ---------------------------------------------------------------------------

CHECK = """
import json, socket, sys
def refuse(*_):
    raise AssertionError("a connection")
socket.socket.connect = refuse
from bioimageio.core import test_description
from bioimageio.spec import load_description
package = load_description(sys.argv[1], perform_io_checks=True)
found = {"format": package.validation_summary.status}
for kind in ("onnx", "pytorch_state_dict"):
    if getattr(package.weights, kind) is not None:
        found[kind] = test_description(package, weight_format=kind).status
print(json.dumps(found))
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["resize", "percentile", "unet", "nuclei"])
def test_the_zoos_own_tools_find_it_valid_and_get_the_same_answer(kind, tmp_path):
    pytest.importorskip("bioimageio.core", reason="needs the extra bioimageio")
    if kind == "unet":
        preprocessing = Preprocessing(geometry=Tiles(size=64, halo=16))
        card = make_card(encoder="resnet18", options=SMALL, preprocessing=preprocessing, license="MIT")
        predictor = Predictor(card, build_network(card))
    elif kind == "nuclei":
        predictor = load_model("nuclei")
    elif kind == "resize":
        predictor = onnx_model(tmp_path, preprocessing="imagenet:resize=64x96")
        assert isinstance(predictor.card.preprocessing.geometry, FixedResize)
    else:
        predictor = onnx_model(tmp_path, preprocessing="percentile:tiles=64")
    path = export_package(predictor, tmp_path / "package.zip")
    home = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "USERPROFILE"), str(tmp_path))
    words = [sys.executable, "-c", CHECK, str(path)]
    done = subprocess.run(words, env={**os.environ, **home}, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["format"] in ("valid-format", "passed")
    assert {status for what, status in found.items() if what != "format"} == {"passed"}
    assert len(found) == (3 if kind in ("unet", "nuclei") else 2)
