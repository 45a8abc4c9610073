"""Files that ask for endless work or memory: each is one line, at once, and takes no memory for it."""

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from legacy_forge import ORDERED, REBUILD, Called, File, Row, forged
from napari_specimen_seg.core.errors import ModelError
from napari_specimen_seg.models.bundle import read_card, write_bundle
from napari_specimen_seg.models.importing import ImportOptions, QuestionsError, import_model
from napari_specimen_seg.models.legacy import inspect_checkpoint
from test_models import card as make_card

torch = pytest.importorskip("torch")
smp = pytest.importorskip("segmentation_models_pytorch")

ONE_NUMBER = forged(Called(REBUILD, (Row("0", "FloatStorage", 1), 0, (1,), (1,), False, Called(ORDERED))))


def many_weights(path: Path, names) -> Path:
    """Write a state dict of which every weight is the same number; two instructions each."""
    keep, get = b"r\xff\xff\xff\x00", b"j\xff\xff\xff\x00"
    pairs = b"".join(b"X" + struct.pack("<I", len(name)) + name.encode() + get for name in names)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", ONE_NUMBER[:-1] + keep + b"0}(" + pairs + b"u.")
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", bytes(4))
    return path


def checkpoint(path: Path, weights) -> Path:
    file = File()
    return file.zipped(file.state_dict(weights), path)


@pytest.fixture(scope="module")
def unet():
    network = smp.Unet("resnet18", encoder_weights=None)
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


# -- endless comparisons -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "words"), [(40_000, "refused: it holds 40000 networks"), (60_000, "more than any network has")]
)
def test_thousands_of_networks_are_not_compared_with_each_other(tmp_path, count, words):
    names = (f"a{number}.segmentation_head.0.weight" for number in range(count))

    with pytest.raises(ModelError, match=words):
        inspect_checkpoint(many_weights(tmp_path / "m.pth", names))


def test_networks_in_many_dictionaries_are_counted(tmp_path):
    file = File()
    each = [
        {"segmentation_head.0.weight": file.tensor(np.full((1, 1, 1, 1), n, np.float32))} for n in range(40)
    ]

    with pytest.raises(ModelError, match="refused: it holds more than 32 networks"):
        inspect_checkpoint(file.zipped(each, tmp_path / "m.pth"))


def test_a_layer_with_an_enormous_number_is_not_counted_up_to(tmp_path):
    weights = {
        f"decoder.blocks.x_0_{number}.conv1.0.weight": np.zeros((1, 1, 3, 3), np.float32)
        for number in (0, 99_999_999_999)
    }
    weights["segmentation_head.0.weight"] = np.zeros((2, 1, 3, 3), np.float32)

    with pytest.raises(QuestionsError, match="--encoder"):
        import_model(checkpoint(tmp_path / "m.pth", weights), tmp_path / "model")


# -- endless memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(10**9, 0, 3, 3), (10**6, 1, 1, 1), (0, 16, 3, 3)])
def test_a_million_classes_are_refused(tmp_path, unet, shape):
    weights = {**unet, "segmentation_head.0.weight": np.zeros(shape, np.float32)}
    del weights["segmentation_head.0.bias"]

    with pytest.raises(ModelError, match="channels, more than any set of classes"):
        import_model(checkpoint(tmp_path / "m.pth", weights), tmp_path / "model")


def test_weights_that_only_look_wide_are_refused(tmp_path, unet):
    wide = {f"decoder.blocks.{n}.conv2.0.weight": np.zeros((8192, 1, 1, 1), np.float32) for n in range(5)}

    with pytest.raises(ModelError, match="the card asks for 5522729537 numbers"):
        import_model(checkpoint(tmp_path / "m.pth", unet | wide), tmp_path / "model")


@pytest.mark.parametrize("encoder", ["resnet18", "mit_b0"])  # the latter cannot be built without memory
def test_a_card_that_asks_for_an_enormous_network_is_refused(tmp_path, encoder):
    from napari_specimen_seg.models.predictor import load_model

    card = make_card(encoder=encoder, options={"decoder_channels": (8192,) * 5})
    write_bundle(tmp_path / "model", card, {"a": torch.zeros(3)})

    with pytest.raises(ModelError, match=r"asks for \d+ numbers, the weights have 3"):
        _ = load_model(tmp_path / "model").network


@pytest.mark.parametrize("wide", [{"decoder_channels": [8192] * 5}, {"in_channels": 65536}])
def test_a_description_that_asks_for_an_enormous_network_is_refused(tmp_path, wide):
    from safetensors.torch import save_file

    (tmp_path / "net").mkdir()
    facts = {"_model_class": "Unet", "encoder_name": "resnet18", **wide}
    (tmp_path / "net" / "config.json").write_text(json.dumps(facts))
    save_file({"a": torch.zeros(3)}, tmp_path / "net" / "model.safetensors")
    said = ImportOptions(classes="leaf", preprocessing="zero-one")

    with pytest.raises(ModelError, match=r"the weights have 3|more than any picture has"):
        import_model(tmp_path / "net", tmp_path / "model", said)


def test_a_wide_network_of_honest_size_is_read(tmp_path):
    network = smp.Unet("resnet18", encoder_weights=None, decoder_channels=(1024, 8, 8, 8, 8))
    torch.save(network.state_dict(), tmp_path / "m.pth")

    done = import_model(tmp_path / "m.pth", tmp_path / "model")

    assert done.card.options == {"decoder_channels": (1024, 8, 8, 8, 8)}


@pytest.mark.parametrize("length", [20_000_000, 2**62])
def test_an_endless_table_of_safetensors_is_not_read(tmp_path, length):
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b'{"a":1}')
    with pytest.raises(ModelError, match="table of contents is too long"):
        inspect_checkpoint(path)


# -- files that are none -----------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no endless file")
@pytest.mark.parametrize("name", ["card.json", "model.safetensors"])
def test_a_device_in_the_place_of_a_file_is_not_read(tmp_path, name):
    write_bundle(tmp_path / "model", make_card(), {"a": torch.zeros(3)})
    (tmp_path / "model" / name).unlink()
    (tmp_path / "model" / name).symlink_to("/dev/zero")

    with pytest.raises(ModelError, match="is no plain file"):
        import_model(tmp_path / "model", tmp_path / "other")
    if name == "card.json":
        with pytest.raises(ModelError, match="is no plain file"):
            read_card(tmp_path / "model")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 30_000 + "1" + "}" * 30_000, '{"a": 1' + "0" * 5000]
)
@pytest.mark.parametrize("name", ["card.json", "config.json"])
def test_bottomless_descriptions_are_one_line(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    (tmp_path / "model.safetensors").write_bytes(b"")

    with pytest.raises(ModelError) as caught:
        import_model(tmp_path, tmp_path / "other")
    assert "\n" not in str(caught.value)


# -- fastai ------------------------------------------------------------------------------------------

PARTS = {f"layers.{n}.shuf.0.0.weight": (4, 1, 1, 1) for n in (4, 5, 6, 7)}
BODY = {f"layers.0.{part}.{block}.conv2.weight": (64, 64, 1, 1) for part in (4, 5, 6, 7) for block in (0, 1)}


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"layers.12.0.weight": (2, 4, 1, 1)}, "first or the last layer"),
        ({"layers.12.0.weight": (), "layers.0.0.weight": (64, 3, 7, 7)}, "first or the last layer"),
        (
            {
                "layers.12.0.weight": (2, 4, 1, 1),
                "layers.0.0.weight": (64, 3, 7, 7),
                "layers.8.0.0.weight_g": (4, 1, 1, 1),
            },
            "norm apart",
        ),
    ],
)
def test_broken_unets_of_fastai_are_one_line(tmp_path, shapes, words):
    weights = {name: np.ones(shape, np.float32) for name, shape in {**PARTS, **BODY, **shapes}.items()}

    with pytest.raises(ModelError, match=words):
        import_model(
            checkpoint(tmp_path / "m.pth", weights), tmp_path / "model", ImportOptions(encoder="resnet18")
        )


def test_a_unet_of_fastai_on_another_encoder_says_which_are_read(tmp_path):
    weights = {name: np.ones(shape, np.float32) for name, shape in PARTS.items()}
    weights["layers.12.0.weight"] = np.ones((2, 4, 1, 1), np.float32)

    with pytest.raises(ModelError, match=r"no U-Net on a plain ResNet \(18, 34, 50, 101 or 152 layers\)"):
        import_model(checkpoint(tmp_path / "m.pth", weights), tmp_path / "model")


# -- OpenVINO's description --------------------------------------------------------------------------

ENTITIES = '<!DOCTYPE net [<!ENTITY a "b">]><net><layers><layer type="&a;" version="opset1"/></layers></net>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32"])
def test_entities_are_refused_however_they_are_encoded(encoding):
    from napari_specimen_seg.models.openvino_run import check_graph

    with pytest.raises(ModelError, match="defines entities"):
        check_graph(ENTITIES.encode(encoding), Path("model.xml"))


# -- the terminal ------------------------------------------------------------------------------------


def test_codes_for_the_terminal_are_not_sent_to_it(tmp_path, capsys):
    from napari_specimen_seg.cli import main

    card = make_card(description="nice\x1b]0;owned\x07 \x9b2J", assumed={"head": "one\x1b[2J class"})
    write_bundle(tmp_path / "model", card, {"a": torch.zeros(3)})

    assert main(["models", "info", str(tmp_path / "model")]) == 0
    shown = capsys.readouterr().out
    assert "nice\\x1b]0;owned" in shown
    assert "## Assumed on import" in shown
    assert all(char.isprintable() for char in shown.replace("\n", ""))
