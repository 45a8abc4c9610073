"""Models from the Hub, with a Hub of the tests' own: what is fetched, and what is refused."""

import hashlib
import io
import json
import socket

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from huggingface_hub import constants

from fake_hub import FIRST, SECOND, running_hub
from napari_specimen_seg.core.errors import CancelledError, ModelError, WriteError
from napari_specimen_seg.core.input_settings import Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models import hub_files
from napari_specimen_seg.models.bundle import read_card, write_bundle
from napari_specimen_seg.models.card import OpenVinoNetwork
from napari_specimen_seg.models.hub import pull
from napari_specimen_seg.models.hub_files import Repository
from napari_specimen_seg.models.importing import ImportOptions, QuestionsError
from napari_specimen_seg.models.library import find_model, list_models, read_origin
from napari_specimen_seg.models.network import build_network
from napari_specimen_seg.models.predictor import load_model
from napari_specimen_seg.models.sharing import write_upload
from test_models import card as make_card

NAME = "herbarium/leaf-parts"
SMALL = {"encoder_depth": 3, "decoder_channels": (16, 8, 8)}
SAID = ImportOptions(classes="leaf", preprocessing="imagenet:tiles=64")


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch):
    """Refuse every connection that leaves this machine."""
    real = socket.socket.connect

    def connect(self, address):
        assert not isinstance(address, tuple) or address[0] in ("127.0.0.1", "::1"), address
        return real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with running_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """Return the files of a model folder of ours."""
    folder = tmp_path_factory.mktemp("ours") / "leaf-parts"
    card = make_card(
        options=SMALL, encoder="resnet18", preprocessing=Preprocessing(geometry=Tiles(size=64, halo=16))
    )
    torch.manual_seed(0)
    write_bundle(folder, card, build_network(card).state_dict())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Return what segmentation-models-pytorch saves of a network, and the network."""
    torch.manual_seed(1)
    network = smp.Unet("resnet18", encoder_weights=None, classes=1, **SMALL).eval()
    folder = tmp_path_factory.mktemp("pretrained")
    network.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}, network


def picture():
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)


# -- our own folders -------------------------------------------------------------------------------


def test_a_model_folder_comes_as_it_was_and_is_found_by_name(hub, ours, tmp_path):
    hub.add(NAME, {**ours, "notes/secret.txt": b"x", "training.pkl": b"x"})
    done = pull(NAME)
    assert sorted(set(hub.fetched())) == ["card.json", "model.safetensors"]
    assert (done.folder / "model.safetensors").read_bytes() == ours["model.safetensors"]
    assert read_card(done.folder).card_sha256 == json.loads(ours["card.json"])["card_sha256"]
    assert (NAME, "hub") in [(entry.name, entry.source) for entry in list_models()]
    assert find_model(NAME) == done.folder
    hub.asked.clear()
    assert load_model(NAME).predict(picture()).labels.shape == (64, 64)
    assert hub.asked == []


def test_the_commit_is_noted(hub, ours):
    hub.add(NAME, ours, FIRST, branches=("main", "v1"))
    origin = read_origin(pull(f"{NAME}@v1").folder)
    assert (origin.repository, origin.revision, origin.commit) == (NAME, "v1", FIRST)
    assert find_model(f"{NAME}@v1") == find_model(NAME) == find_model(f"{NAME}@{FIRST[:10]}")
    with pytest.raises(ModelError, match=r"not here at v2 \(it was pulled at v1\).*models pull .*@v2"):
        load_model(f"{NAME}@v2")


def test_pulling_again_fetches_only_what_is_new(hub, ours):
    hub.add(NAME, ours)
    pull(NAME)
    hub.asked.clear()
    assert pull(NAME).notes == (f"was there already, at {FIRST[:12]}",)
    assert hub.fetched() == []
    hub.add(NAME, {**ours, "README.md": b"new"}, SECOND)
    assert read_origin(pull(NAME).folder).commit == SECOND


def test_nothing_is_fetched_unless_somebody_asks(hub, ours):
    hub.add(NAME, ours)
    with pytest.raises(ModelError, match=f"specimen-seg models pull {NAME}"):
        load_model(NAME)
    assert hub.asked == []


def test_without_a_connection_what_was_fetched_before_is_used(hub, ours, tmp_path, monkeypatch):
    hub.add(NAME, ours)
    pull(NAME, tmp_path / "first")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    pull(NAME, tmp_path / "second")
    assert hub.asked == []
    assert (tmp_path / "second" / "card.json").read_bytes() == ours["card.json"]
    with pytest.raises(ModelError, match=r"switched off .* was not fetched before"):
        pull("somebody/else")


def test_a_hub_that_cannot_be_reached_is_one_line(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="cannot be reached, and it was not fetched before"):
        pull(NAME)


def test_an_altered_model_is_refused(hub, ours, tmp_path):
    weights = bytearray(ours["model.safetensors"])
    weights[-1] ^= 1
    hub.add(NAME, {**ours, "model.safetensors": bytes(weights)})
    with pytest.raises(ModelError, match="altered or cut short"):
        pull(NAME, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_else_in_it_is_kept(hub, ours, tmp_path):
    hub.add(NAME, ours)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(WriteError, match="the folder exists"):
        pull(NAME, tmp_path / "mine", overwrite=True)
    assert hub.fetched() == []


# -- segmentation-models-pytorch and checkpoints ---------------------------------------------------


def test_a_pretrained_network_gives_the_same_answer(hub, pretrained, tmp_path):
    files, network = pretrained
    hub.licenses[NAME] = "mit"
    hub.add(NAME, files)
    with pytest.raises(QuestionsError) as caught:
        pull(NAME)
    assert [question.field for question in caught.value.questions] == ["classes", "preprocessing"]
    assert str(caught.value).startswith(f"{NAME}: What is its class called")
    assert "model.safetensors" not in hub.fetched() or not (tmp_path / "models" / "hub").exists()
    done = pull(NAME, options=SAID)
    assert (done.card.name, done.card.license, done.card.encoder) == ("leaf-parts", "mit", "resnet18")
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(load_model(NAME).network(x), network(x))


def test_networks_of_other_libraries_are_refused_before_their_weights(hub):
    hub.add(NAME, {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"x" * 1000})
    with pytest.raises(ModelError, match="not one of segmentation-models-pytorch"):
        pull(NAME, options=SAID)
    assert hub.fetched() == ["config.json"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder_name": "os.system"}, "encoder 'os.system' is not known"),
        ({"_model_class": "__import__"}, "architecture '__import__' is not known"),
        ({"decoder_channels": [1000000000] * 5}, "refused"),
        ({"classes": 4000000000}, "not a whole number"),
        ({"evil": 1}, "has no argument 'evil'"),
        ({"activation": "argmax"}, "cannot be used for segmentation"),
        ({"encoder_depth": 4}, "cannot be built"),
    ],
)
def test_hostile_descriptions_are_one_line(hub, pretrained, change, words):
    files = dict(pretrained[0])
    files["config.json"] = json.dumps({**json.loads(files["config.json"]), **change}).encode()
    hub.add(NAME, files)
    with pytest.raises(ModelError, match=words) as caught:
        pull(NAME, options=SAID)
    assert len(str(caught.value).splitlines()) == 1


def test_which_of_several_files_is_asked(hub):
    hub.add(NAME, {"a.pth": b"x", "b.pth": b"x", "optimizer.pt": b"x", "README.md": b""})
    with pytest.raises(QuestionsError) as caught:
        pull(NAME)
    assert caught.value.questions[0].candidates == ("a.pth", "b.pth")
    assert hub.fetched() == []


def test_a_checkpoint_is_read_without_running_it(hub, pretrained):
    network = pretrained[1]
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    hub.add(NAME, {"weights/best.pth": file.getvalue(), "README.md": b""})
    said = SAID.model_copy(update={"architecture": "Unet", "encoder": "resnet18", "activation": "none"})
    done = pull(NAME, options=said)
    assert done.card.name == "leaf-parts"
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(load_model(NAME).network(x), network(x), atol=1e-5, rtol=0)


def test_a_checkpoint_that_would_call_something_is_refused(hub, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    file = io.BytesIO()
    torch.save({"model.weight": Evil()}, file)
    hub.add(NAME, {"best.pth": file.getvalue()})
    with pytest.raises(ModelError, match="refused"):
        pull(NAME, options=SAID)
    assert not (tmp_path / "canary").exists()


def test_of_a_bioimageio_package_only_what_is_needed_is_fetched(hub, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from napari_specimen_seg.models.bioimageio_export import package_files
    from napari_specimen_seg.models.importing import import_model
    from onnx_files import by_pixel, node, save

    model = by_pixel([[4, 0, 0], [0, 4, 0]], ending=[node("Softmax", ["logits"], ["scores"], axis=1)])
    said = ImportOptions(classes="background,leaf", preprocessing="imagenet:tiles=64")
    import_model(save(model, tmp_path / "net.onnx"), tmp_path / "made", said)
    hub.add(NAME, {**package_files(load_model(tmp_path / "made")), "evil.py": b"x", "video.mp4": b"x"})
    done = pull(NAME)
    assert done.card.class_map.by_id(1).name == "leaf"
    wanted = {"rdf.yaml", "weights.onnx", "test_picture.npy", "test_probabilities.npy"}
    assert set(hub.fetched()) == wanted


def test_a_repository_without_a_model_is_refused(hub):
    hub.add(NAME, {"README.md": b"", "photo.jpg": b""})
    with pytest.raises(ModelError, match="holds no model that can be used"):
        pull(NAME)


# -- what must not happen --------------------------------------------------------------------------


def test_names_that_lead_elsewhere_are_never_asked_for(hub, ours):
    hub.add(NAME, ours)
    hub.listed[NAME] = dict.fromkeys(
        ("../../evil.pth", "/etc/x.pth", "a\\..\\b.pth", "C:x.pth", "~/x.pth"), 1
    )
    with pytest.raises(ModelError, match="holds no model"):
        pull(NAME)
    assert hub.fetched() == []


def test_files_beyond_any_models_size_are_not_fetched(hub, ours, monkeypatch):
    hub.add(NAME, ours)
    hub.listed[NAME] = {"card.json": 100, "model.safetensors": 10**12}
    with pytest.raises(ModelError, match="larger than 4 GB"):
        pull(NAME)
    assert hub.fetched() == ["card.json"]


def test_a_file_that_is_larger_than_announced_is_stopped(hub, ours, monkeypatch):
    hub.add(NAME, ours)
    hub.listed[NAME] = {"card.json": 100, "model.safetensors": 100}
    monkeypatch.setattr(hub_files, "MAX_BYTES", 10_000)
    with pytest.raises(ModelError, match="larger than 0 GB"):
        pull(NAME)


@pytest.mark.parametrize(
    "name", ["leaf", "a/b/c", "../x", "a/..", "a--b/c", "a/b@", "a/b@../x", "http://x/y", "a/b c", ""]
)
def test_what_is_no_repository_is_not_asked_for(hub, name):
    assert Repository.parse(name) is None
    with pytest.raises(ModelError, match="no repository of the Hub"):
        pull(name)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody/nothing", "no such repository, or it is private"),
        (f"{NAME}@v9", "no such revision"),
        ("asks/first", "accept conditions first"),
    ],
)
def test_refusals_of_the_hub_are_one_line(hub, ours, name, words):
    hub.add(NAME, ours)
    hub.add("asks/first", ours)
    hub.gated.add("asks/first")
    with pytest.raises(ModelError, match=words) as caught:
        pull(name)
    assert len(str(caught.value).splitlines()) == 1


def test_progress_is_told_and_cancelling_stops(hub, ours, tmp_path):
    hub.add(NAME, ours)
    seen = []

    def stop(progress):
        seen.append(progress)
        if progress.stage.startswith("fetching model") and progress.done > 0:
            raise CancelledError

    with pytest.raises(CancelledError):
        pull(NAME, report=stop)
    assert ("fetching model.safetensors (MB)", 0, len(ours["model.safetensors"]) // 10**6) in [
        (p.stage, p.done, p.total) for p in seen
    ]
    assert not (tmp_path / "models" / "hub").exists()
    pull(NAME)


def test_both_files_of_an_openvino_model_come_along(hub, tmp_path):
    graph = "<net/>"
    network = OpenVinoNetwork(precision="fp32", graph_sha256=hashlib.sha256(graph.encode()).hexdigest())
    folder = tmp_path / "shrunk"
    write_bundle(folder, make_card(openvino=network), b"numbers", beside={"model.xml": graph})
    hub.add(NAME, {path.name: path.read_bytes() for path in folder.iterdir()})
    done = pull(NAME)
    assert (done.folder / "model.xml").read_text() == graph
    assert sorted(set(hub.fetched())) == ["card.json", "model.bin", "model.xml"]
    upload = write_upload(NAME, tmp_path / "upload")
    assert (upload.card_sha256, (tmp_path / "upload" / "model.xml").read_text()) == (
        done.card.card_sha256,
        graph,
    )
    hub.add(NAME, {**hub.repositories[NAME][FIRST], "model.xml": b"<other/>"}, SECOND)
    with pytest.raises(ModelError, match=r"model\.xml was altered"):
        pull(NAME)
