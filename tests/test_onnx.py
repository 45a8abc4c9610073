"""ONNX networks from strangers: they compute what they should, and nothing else."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
import torch
from onnx import TensorProto, helper

from napari_specimen_seg.core.errors import DeviceError, ModelError
from napari_specimen_seg.core.input_settings import FixedResize, Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models import onnx_trial
from napari_specimen_seg.models.bundle import read_card, write_bundle
from napari_specimen_seg.models.importing import ImportOptions, QuestionsError, import_model, read_draft
from napari_specimen_seg.models.onnx_export import export_onnx
from napari_specimen_seg.models.onnx_files import check_onnx, shapes_at
from napari_specimen_seg.models.onnx_read import CARD_KEY
from napari_specimen_seg.models.predictor import Predictor, load_model
from napari_specimen_seg.models.settings import PredictSettings
from onnx_files import by_pixel, network, node, save
from test_models import card as torch_card

GREEN = [[1, 0, 0], [0, 1, 0]]
"""Weights of a network that asks whether a pixel is more green (class 1) than red (class 0)."""

SAID = ImportOptions(classes="background,leaf", preprocessing="zero-one")


def scene(height=45, width=70):
    """Return a picture and which of its pixels are more green than red."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    return picture, (picture[..., 1] > picture[..., 0]).astype(np.uint8)


def imported(model, folder, options=SAID):
    return import_model(save(model, folder / "net.onnx"), folder / "model", options)


def nhwc():
    to_front = node("Transpose", ["picture"], ["front"], perm=[0, 3, 1, 2])
    conv = node("Conv", ["front", "w"], ["mixed"])
    back = node("Transpose", ["mixed"], ["last"], perm=[0, 2, 3, 1])
    soft = node("Softmax", ["last"], ["scores"], axis=-1)
    return network(
        [to_front, conv, back, soft],
        in_shape=(None, None, None, 3),
        out_shape=(None, None, None, 2),
        tensors={"w": np.array(GREEN, np.float32)[:, :, None, None]},
    )


def softmax(**ports):
    return by_pixel(GREEN, ending=[node("Softmax", ["logits"], ["scores"], axis=1)], **ports)


def argmax(keepdims):
    return by_pixel(
        GREEN,
        ending=[node("ArgMax", ["logits"], ["scores"], axis=1, keepdims=keepdims)],
        out_shape=(None, 1, None, None) if keepdims else (None, None, None),
        out_type=TensorProto.INT64,
    )


def cast(kind, scale=1.0):
    """Return a network that takes another number type; the leaf rule is the same."""
    return network(
        [
            node("Cast", ["picture"], ["float"], to=TensorProto.FLOAT),
            node("Conv", ["float", "w"], ["logits"]),
            node("Softmax", ["logits"], ["scores"], axis=1),
        ],
        in_type=kind,
        tensors={"w": scale * np.array(GREEN, np.float32)[:, :, None, None]},
    )


NETWORKS = {
    "open size": softmax(),
    "64 x 64": softmax(in_shape=(1, 3, 64, 64), out_shape=(1, 2, 64, 64)),
    "two at a time": softmax(in_shape=(2, 3, 32, 32), out_shape=(2, 2, 32, 32)),
    "channels last": nhwc(),
    "class numbers": argmax(0),
    "class numbers with an axis": argmax(1),
    "double": cast(TensorProto.DOUBLE),
    "without activation": by_pixel([[100, 0, 0], [0, 100, 0]]),
}


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", NETWORKS)
def test_pixels_get_the_class_that_the_network_gives_them(name, backend, tmp_path):
    if backend == "openvino":
        pytest.importorskip("openvino")
    picture, leaf = scene()
    done = imported(NETWORKS[name], tmp_path)
    settings = PredictSettings(backend="openvino" if backend == "openvino" else "auto")
    answer = load_model(tmp_path / "model").predict(picture, settings)
    assert (answer.labels == leaf).all()
    assert answer.provenance["engine"] == {"device": "cpu", "backend": backend, "precision": "fp32"}
    assert done.card.sha256 == answer.provenance["model"]["sha256"]


def test_openvino_answers_as_onnxruntime_does(tmp_path):
    pytest.importorskip("openvino")
    imported(softmax(), tmp_path)
    picture, _ = scene()
    settings = [PredictSettings(backend=name, confidence=True) for name in ("auto", "openvino")]
    one, other = (load_model(tmp_path / "model").predict(picture, each).confidence for each in settings)
    assert np.abs(np.asarray(one) - np.asarray(other)).max() < 1e-5


def test_openvino_takes_one_of_several_answers(tmp_path):
    pytest.importorskip("openvino")
    both = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2, "h", "w"]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2, "h", "w"]),
    ]
    imported(softmax(outputs=both), tmp_path, SAID.model_copy(update={"part": "scores"}))
    picture, leaf = scene()
    answer = load_model(tmp_path / "model").predict(picture, PredictSettings(backend="openvino"))
    assert (answer.labels == leaf).all()


@pytest.mark.parametrize("backend", ["auto", "openvino"])
def test_files_are_checked_again_whatever_computes_them(backend, tmp_path):
    pytest.importorskip("openvino")
    imported(softmax(), tmp_path)
    (tmp_path / "model" / "model.onnx").write_bytes(loop().SerializeToString())
    with pytest.raises(ModelError, match="altered"):
        load_model(tmp_path / "model").predict(scene()[0], PredictSettings(backend=backend))


def test_whole_pictures_as_bytes(tmp_path):
    picture, leaf = scene()
    imported(
        cast(TensorProto.UINT8, 1 / 255),
        tmp_path,
        ImportOptions(classes="background,leaf", preprocessing="zero-255"),
    )
    predictor = load_model(tmp_path / "model")
    assert (predictor.predict(picture).labels == leaf).all()
    deep = picture.astype(np.uint16) * 257
    assert (predictor.predict(deep).labels == leaf).all()


def test_one_sigmoid_channel_is_one_class(tmp_path):
    model = by_pixel(
        [[0, 20, 0]], [-10], ending=[node("Sigmoid", ["logits"], ["scores"])], out_shape=(None, 1, None, None)
    )
    imported(model, tmp_path, ImportOptions(classes="leaf", preprocessing="zero-one"))
    predictor = load_model(tmp_path / "model")
    picture, _ = scene()
    assert (predictor.card.head.kind, predictor.card.activation) == ("binary", "sigmoid")
    assert (predictor.predict(picture).labels == (picture[..., 1] > 127)).all()
    low = predictor.predict(picture, PredictSettings(threshold=0.01)).labels
    assert low.sum() > (picture[..., 1] > 127).sum()


def test_a_coarse_answer_is_enlarged(tmp_path):
    pool = node("AveragePool", ["logits"], ["small"], kernel_shape=[4, 4], strides=[4, 4])
    model = by_pixel(GREEN, ending=[pool, node("Softmax", ["small"], ["scores"], axis=1)])
    imported(model, tmp_path)
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, :32, 1], picture[:, 32:, 0] = 200, 200
    labels = load_model(tmp_path / "model").predict(picture).labels
    assert (labels == (np.arange(64) < 32)).mean() > 0.97


def test_a_fixed_oblong_network_sees_the_whole_picture(tmp_path):
    model = softmax(in_shape=(1, 3, 32, 80), out_shape=(1, 2, 32, 80))
    done = imported(model, tmp_path)
    assert done.card.preprocessing.geometry == FixedResize(height=32, width=80)
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[:50, :, 1], picture[50:, :, 0] = 200, 200
    labels = load_model(tmp_path / "model").predict(picture).labels
    assert (labels[:48] == 1).all()
    assert (labels[52:] == 0).all()


@pytest.mark.parametrize(
    ("preprocessing", "geometry"),
    [
        ("zero-one", Tiles(size=64, halo=8, fitted=False)),
        ("zero-one:resize=64x64", FixedResize(height=64, width=64)),
    ],
)
def test_a_fixed_square_network_works_in_tiles_unless_told_otherwise(preprocessing, geometry, tmp_path):
    options = ImportOptions(classes="background,leaf", preprocessing=preprocessing)
    assert imported(NETWORKS["64 x 64"], tmp_path, options).card.preprocessing.geometry == geometry


def test_another_size_than_the_fixed_one_is_refused(tmp_path):
    options = ImportOptions(classes="background,leaf", preprocessing="zero-one:tiles=128")
    with pytest.raises(ModelError, match="takes 64 x 64 pixels, not 128 x 128"):
        imported(NETWORKS["64 x 64"], tmp_path, options)


# -- what is asked ---------------------------------------------------------------------------------


def questions(model, folder, options=None):
    with pytest.raises(QuestionsError) as caught:
        read_draft(save(model, folder / "net.onnx"), options or ImportOptions())
    return {question.field: question for question in caught.value.questions}


def test_what_the_file_does_not_tell_is_asked(tmp_path):
    asked = questions(NETWORKS["64 x 64"], tmp_path)
    assert list(asked) == ["classes", "preprocessing"]
    assert asked["classes"].text == "What are its 2 classes called, background included?"
    assert "imagenet:tiles=64" in asked["preprocessing"].candidates


def test_an_activation_that_cannot_be_told_is_asked(tmp_path):
    half = node("Mul", ["logits", "half"], ["scores"])
    model = by_pixel(GREEN, ending=[half], tensors={"half": np.float32(0.5)})
    assert list(questions(model, tmp_path, SAID)) == ["activation"]
    said = SAID.model_copy(update={"activation": "none"})
    assert imported(model, tmp_path, said).card.activation is None


def test_which_of_several_outputs_is_asked(tmp_path):
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2, 64, 64]) for n in ("scores", "aux")]
    copy = node("Softmax", ["logits"], ["aux"], axis=1)
    model = by_pixel(
        GREEN,
        ending=[node("Softmax", ["logits"], ["scores"], axis=1), copy],
        outputs=outputs,
        in_shape=(1, 3, 64, 64),
    )
    assert questions(model, tmp_path, SAID)["part"].candidates == ("scores", "aux")
    assert imported(model, tmp_path, SAID.model_copy(update={"part": "aux"})).card.onnx.output == "aux"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": "a,b,c"}, "3 classes named, but the network answers with 2 channels"),
        ({"classes": "leaf,stem"}, "one of its channels is the background"),
        (
            {"classes": "background,leaf", "preprocessing": "nonsense"},
            "no preprocessing is called 'nonsense'",
        ),
        ({"classes": "background,leaf", "activation": "sigmoid"}, "the file ends with softmax"),
        ({"classes": "background,background"}, "occurs twice"),
    ],
)
def test_contradictions_are_told(options, words, tmp_path):
    said = ImportOptions(**{"preprocessing": "zero-one", **options})
    with pytest.raises(ModelError, match=words):
        imported(softmax(), tmp_path, said)


# -- what is refused -------------------------------------------------------------------------------


def external():
    model = softmax()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    return model


def hidden_external():
    inner = external().graph
    branch = helper.make_graph(
        [node("Identity", ["w"], ["out"])], "then", [], inner.output, inner.initializer
    )
    choose = node("If", ["yes"], ["scores"], then_branch=branch, else_branch=branch)
    return network([choose], tensors={"yes": np.array(True)})


def foreign():
    model = network([node("Evil", ["picture"], ["scores"], domain="my.company")])
    model.opset_import.append(helper.make_opsetid("my.company", 1))
    return model


def foreign_in_function():
    steps = [node("Evil", ["x"], ["y"], domain="my.company")]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.company", 1), helper.make_opsetid("f", 1)]
    model = network([node("Outer", ["picture"], ["scores"], domain="f")], opsets=opsets)
    model.functions.append(helper.make_function("f", "Outer", ["x"], ["y"], steps, opsets))
    return model


def doubling_functions():
    """Thirty functions that call the next one twice: a billion steps from a few bytes."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    model = network([node("f0", ["picture"], ["scores"], domain="f")], opsets=opsets)
    for i in range(18):
        steps = [node(f"f{i + 1}", ["x"], ["m"], domain="f"), node(f"f{i + 1}", ["m"], ["y"], domain="f")]
        model.functions.append(helper.make_function("f", f"f{i}", ["x"], ["y"], steps, opsets))
    last = [node("Identity", ["x"], ["y"])]
    model.functions.append(helper.make_function("f", "f18", ["x"], ["y"], last, opsets))
    return model


def circle():
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    model = network([node("A", ["picture"], ["scores"], domain="f")], opsets=opsets)
    steps = [node("A", ["x"], ["y"], domain="f")]
    model.functions.append(helper.make_function("f", "A", ["x"], ["y"], steps, opsets))
    return model


def loop():
    body = helper.make_graph([], "body", [], [])
    return network(
        [node("Loop", ["times", "", "picture"], ["scores"], body=body)], tensors={"times": np.int64(2**40)}
    )


def enormous_tensor():
    model = softmax()
    model.graph.initializer[0].dims[:] = [2**30, 2**30]
    return model


def enormous_answer():
    fill = node("ConstantOfShape", ["size"], ["big"])
    add = node("ReduceSum", ["big"], ["total"], keepdims=0)
    return by_pixel(
        GREEN,
        ending=[fill, add, node("Add", ["logits", "total"], ["scores"])],
        tensors={"size": np.array([2**20, 2**20], np.int64)},
    )


def two_inputs():
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 8, 8]) for n in ("picture", "other")]
    return network([node("Add", ["picture", "other"], ["scores"])], inputs=inputs)


def whole_picture_class():
    pool = node("GlobalAveragePool", ["logits"], ["scores"])
    return by_pixel(GREEN, ending=[pool])


def volume():
    return network(
        [node("Identity", ["picture"], ["scores"])], in_shape=(1, 1, 8, 8, 8), out_shape=(1, 1, 8, 8, 8)
    )


REFUSED = {
    "weights in another file": (external(), "lie in another file"),
    "weights in another file inside a branch": (hidden_external(), "lie in another file"),
    "foreign operator": (foreign(), "my.company.Evil, which is not part of ONNX"),
    "foreign operator inside a function": (foreign_in_function(), "not part of ONNX"),
    "doubling functions": (doubling_functions(), "more steps than any honest one"),
    "functions in a circle": (circle(), "call each other without end"),
    "loop": (loop(), "a loop that nothing bounds"),
    "random": (network([node("RandomNormalLike", ["picture"], ["scores"])]), "would be random"),
    "tensor of 2^60 numbers": (enormous_tensor(), "impossible size"),
    "intermediate of 2^40 numbers": (enormous_answer(), "impossible size"),
    "two inputs": (two_inputs(), "takes 2 inputs"),
    "volume": (volume(), "does not take a picture"),
    "one class for the picture": (whole_picture_class(), "does not answer with a value for every pixel"),
    "NaN": (by_pixel([[np.nan, 0, 0], [0, 1, 0]]), "answers with NaN"),
    "empty": (onnx.ModelProto(), "no ONNX file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_do_more_than_compute_is_refused_in_one_line(name, tmp_path):
    model, words = REFUSED[name]
    with pytest.raises(ModelError, match=words) as caught:
        imported(model, tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x08\x07" * 40, b"\xff" * 1000, b"not a network"])
def test_other_files_are_no_onnx(content, tmp_path):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="no ONNX file"):
        import_model(tmp_path / "net.onnx", tmp_path / "model", SAID)


def test_a_cut_file_is_refused(tmp_path):
    path = save(softmax(), tmp_path / "net.onnx")
    content = path.read_bytes()
    for end in range(1, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(ModelError):
            read_draft(path, SAID)


def test_altered_files_never_end_in_anything_but_one_line(tmp_path):
    rng = np.random.default_rng(0)
    originals = [model.SerializeToString() for model in NETWORKS.values()]
    said = []
    for _ in range(300):
        content = bytearray(originals[rng.integers(len(originals))])
        for place in rng.integers(0, len(content), rng.integers(1, 6)):
            content[place] = rng.integers(256)
        try:
            facts = check_onnx(bytes(content), tmp_path)
            shapes_at(facts, (1, 3, 64, 64), tmp_path)
        except ModelError as error:
            said.append(str(error))
    assert len(said) > 100
    assert all(len(line.splitlines()) == 1 for line in said)


def test_the_checks_are_made_again_when_a_folder_is_opened(tmp_path):
    """Somebody may have written a model folder with right checksums by other means."""
    done = imported(softmax(), tmp_path)
    write_bundle(tmp_path / "evil", done.card, foreign().SerializeToString())
    with pytest.raises(ModelError, match="not part of ONNX"):
        load_model(tmp_path / "evil").predict(scene()[0])


def test_an_altered_file_is_noticed(tmp_path):
    imported(softmax(), tmp_path)
    path = tmp_path / "model" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="altered"):
        load_model(tmp_path / "model").predict(scene()[0])


def test_a_network_that_takes_too_long_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_trial, "MAX_SECONDS", 0.0)
    with pytest.raises(ModelError, match="did not answer within 0 seconds"):
        imported(softmax(), tmp_path)


def test_a_network_that_takes_too_much_memory_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_trial, "MAX_BYTES", 1)
    with pytest.raises(ModelError, match="more memory than there is"):
        imported(softmax(), tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"precision": "bf16"}, "in its file"),
        ({"backend": "torch"}, "cannot be computed by torch"),
        ({"device": "mps"}, "mps"),
    ],
)
def test_settings_that_onnxruntime_does_not_have_are_refused(settings, words, tmp_path):
    imported(softmax(), tmp_path)
    with pytest.raises(DeviceError, match=words):
        load_model(tmp_path / "model").predict(scene()[0], PredictSettings(**settings))


def test_a_tile_size_is_refused_where_the_file_fixes_it(tmp_path):
    imported(NETWORKS["64 x 64"], tmp_path)
    with pytest.raises(ModelError, match="takes one size only"):
        load_model(tmp_path / "model").predict(scene()[0], PredictSettings(tile=128))


def test_nothing_is_reported_to_the_makers_of_onnxruntime(tmp_path):
    """It would note a number for this machine in the person's cache folder, to send it with its reports."""
    path = save(softmax(), tmp_path / "net.onnx")
    code = f"""
from pathlib import Path
from napari_specimen_seg.models.onnx_session import open_session
open_session(Path({str(path)!r}).read_bytes(), "cpu", "net")
"""
    home = {
        name: str(tmp_path / "home") for name in ("HOME", "XDG_CACHE_HOME", "USERPROFILE", "LOCALAPPDATA")
    }
    (tmp_path / "home").mkdir()
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **home}, check=True)
    assert list((tmp_path / "home").rglob("*")) == []


# -- cards -----------------------------------------------------------------------------------------


def test_a_file_that_carries_a_card_needs_no_answers(tmp_path):
    card = imported(softmax(), tmp_path).card
    model = softmax()
    model.metadata_props.add(key=CARD_KEY, value=card.model_dump_json())
    again = import_model(save(model, tmp_path / "own.onnx"), tmp_path / "again")
    assert again.card.class_map == card.class_map
    assert read_card(tmp_path / "again").name == "again"


def test_cards_of_torch_models_do_not_mention_onnx(tmp_path):
    assert "onnx" not in json.loads(torch_card().model_dump_json())


def test_an_exported_model_comes_back_without_a_question(tmp_path):
    pytest.importorskip("onnxscript")
    card = torch_card(preprocessing=Preprocessing(geometry=Tiles(size=64, halo=16)))
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 1, 1))
    predictor = Predictor(card, network)
    path = export_onnx(predictor, tmp_path / "out.onnx")
    back = import_model(path, tmp_path / "back").card
    assert (back.class_map, back.head, back.preprocessing) == (card.class_map, card.head, card.preprocessing)
    picture, _ = scene(130, 170)
    assert (load_model(tmp_path / "back").predict(picture).labels == predictor.predict(picture).labels).all()
    again = export_onnx(load_model(tmp_path / "back"), tmp_path / "again.onnx")
    assert import_model(again, tmp_path / "again").card.class_map == card.class_map
