"""Look-alikes of the files that people hold: the imported network answers as the original library did."""

import gzip
import importlib.util
import json
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.input_settings import FixedResize
from napari_specimen_seg.models.importing import Imported, import_model
from napari_specimen_seg.models.predictor import load_model

torch = pytest.importorskip("torch")

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "legacy_checkpoints"
NAMES = sorted(path.name.removesuffix(".pickle.gz") for path in SHARED.glob("fixtures/*.pickle.gz"))

pytestmark = pytest.mark.skipif(not NAMES, reason="the look-alikes are not beside this checkout")

WHOLE = {
    "01_smp021_fpn_seresnext50_12c_whole": ("FPN", "se_resnext50_32x4d", 12, "sigmoid"),
    "01b_smp021_fpn_mobilenetv2_12c_whole": ("FPN", "mobilenet_v2", 12, "sigmoid"),
    "02_smp021_unet_resnet18_1ch_whole": ("Unet", "resnet18", 1, "sigmoid"),
    "04a_smp021_ckpt_whole": ("Unet", "mobilenet_v2", 3, "sigmoid"),
    "08a_smp021_unetpp_logits_whole": ("UnetPlusPlus", "mobilenet_v2", 4, None),
    "08d_smp021_deeplabv3plus_whole": ("DeepLabV3Plus", "mobilenet_v2", 3, None),
    "09b_smp021_unet_efficientnet-b2_whole": ("Unet", "efficientnet-b2", 2, "sigmoid"),
    "10_fastai2_unet_resnet18_export": ("FastaiUnet", "resnet18", 2, None),
}
STATE_DICTS = ("Unet", "mobilenet_v2", 3, None)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def rebuilt(name: str, path: Path):
    """Write the full file of a look-alike and return its input and outputs."""
    if str(SHARED) not in sys.path:
        sys.path.insert(0, str(SHARED))
    spec = importlib.util.spec_from_file_location("rebuild", SHARED / "rebuild.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.rebuild(name, str(path), base=str(SHARED / "fixtures"))


def imported(name: str, folder: Path) -> tuple[Imported, object]:
    source = folder / "Trained_model_SM.pth"
    outputs = rebuilt(name, source)
    done = import_model(source, folder / "model")
    source.unlink()
    return done, outputs


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_that_of_the_original(tmp_path, name):
    done, original = imported(name, tmp_path)
    architecture, encoder, channels, activation = WHOLE.get(name, STATE_DICTS)
    # A state dict does not hold the activation: its network answers with logits.
    expected = original["y7" if name in WHOLE else "logits7"]

    with torch.no_grad():
        answer = load_model(done.folder).network(torch.from_numpy(original["x"])).numpy()

    card = done.card
    assert (card.architecture, card.encoder, card.out_channels) == (architecture, encoder, channels)
    assert card.activation == activation
    assert card.preprocessing.in_channels == original["x"].shape[1]
    found = answer.ravel()[::7]
    # Single precision has seven digits: logits of fastai's U-Net reach 10; see the test below.
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max() / 5)
    threshold = 0.5 if activation == "sigmoid" else 0
    assert ((found > threshold) == (expected > threshold)).all()


def test_what_is_left_of_the_difference_to_fastai_is_rounding(tmp_path):
    """The original's own rounding is as large: computed without any, the answer is not closer to it.

    On one machine, with one version of torch, fastai's own network and ours answer with the same bits:
    ``tools/check_originals.py --library fastai==2.8.12``.
    """
    done, original = imported("10_fastai2_unet_resnet18_export", tmp_path)
    network = load_model(done.folder).network
    with torch.no_grad():
        single = network(torch.from_numpy(original["x"])).numpy().ravel()[::7]
        exact = network.double()(torch.from_numpy(original["x"]).double()).numpy().ravel()[::7]

    of_original = np.abs(exact - original["y7"]).max()
    assert 1e-5 < of_original < 1.1e-5
    assert np.abs(single - exact).max() < 4 * of_original  # other processors round otherwise
    assert np.abs(single - original["y7"]).max() < 4e-6 * np.abs(exact).max()


def test_the_fish_trait_model_needs_no_option(tmp_path):
    done, _ = imported("01_smp021_fpn_seresnext50_12c_whole", tmp_path)

    assert done.card.class_map == PRESETS["fish-traits"]
    assert done.card.head.overlap == "later"
    assert done.card.preprocessing.geometry == FixedResize(height=320, width=800, answer="nearest")
    assert done.card.preprocessing.mean == (0.485, 0.456, 0.406)
    assert "306 of 306 layers agree in every setting that the file stored" in done.notes
    assert done.card.repairs is None


def test_the_padding_of_an_old_efficientnet_is_restored(tmp_path):
    done, _ = imported("09b_smp021_unet_efficientnet-b2_whole", tmp_path)

    assert len(done.card.repairs) == 3
    assert {repair.setting for repair in done.card.repairs} == {"padding"}


def test_fastai_tells_its_classes_and_scaling(tmp_path):
    done, _ = imported("10_fastai2_unet_resnet18_export", tmp_path)

    assert [c.name for c in done.card.class_map] == ["background", "specimen"]
    assert (done.card.preprocessing.mean, done.card.preprocessing.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize("name", NAMES)
def test_the_pickles_hold_nothing_foreign(name):
    from napari_specimen_seg.models.legacy.files import _only_pickle
    from napari_specimen_seg.models.legacy.findings import Findings
    from napari_specimen_seg.models.legacy.known_calls import foreign_calls

    kind = json.loads(gzip.decompress((SHARED / "fixtures" / f"{name}.json.gz").read_bytes()))["kind"]
    if kind != "zip":
        pytest.skip("its pickles follow each other")
    findings = Findings()
    _only_pickle(gzip.decompress((SHARED / "fixtures" / f"{name}.pickle.gz").read_bytes()), findings)

    assert foreign_calls(findings.calls) == ()
