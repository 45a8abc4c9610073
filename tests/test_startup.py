"""What is loaded before the first answer: nothing that the answer does not need."""

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from napari_specimen_seg import read_image, read_labels
from napari_specimen_seg.core.errors import ModelError
from napari_specimen_seg.models import kept, openvino_kept
from napari_specimen_seg.models.predictor import load_model
from napari_specimen_seg.models.settings import PredictSettings

HEAVY = {
    *("torch", "torchvision", "segmentation_models_pytorch", "timm", "lightning", "pandas", "scipy"),
    *("skimage", "dask", "zarr", "napari", "qtpy", "magicgui", "matplotlib", "nncf", "openvino_telemetry"),
}

RUN = """
import json, sys
from napari_specimen_seg.cli import main
code = main(sys.argv[1:])
loaded = {name.partition(".")[0] for name, module in sys.modules.items() if module is not None}
print(json.dumps({"code": code, "loaded": sorted(loaded)}), file=sys.stderr)
"""

with_openvino = pytest.mark.skipif(
    find_spec("openvino") is None, reason="the extra openvino is not installed"
)


def _run(*arguments):
    done = subprocess.run([sys.executable, "-c", RUN, *map(str, arguments)], capture_output=True, text=True)
    said = json.loads(done.stderr.splitlines()[-1])
    return said["code"], set(said["loaded"])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """One picture in three formats."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3)).astype(np.uint8)
    for suffix in ("png", "jpg", "tif"):
        Image.fromarray(pixels).save(folder / f"{suffix}.{suffix}")
    return folder


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["models", "--help"]])
def test_help_needs_no_arrays(arguments):
    code, loaded = _run(*arguments)
    assert code == 0
    assert not loaded & {*HEAVY, "numpy", "PIL"}


ENDING = """
import atexit, sys
from napari_specimen_seg import __main__ as process

class Found:
    def __del__(self):
        print("looked for garbage")

held = Found()
held.itself = held
sys.modules["torch"] = sys
process.main = lambda: atexit.register(print, "tidied") and int(sys.argv[1])
sys.exit(process.run())
"""


@pytest.mark.parametrize("code", [0, 1, 130])
def test_after_torch_the_process_ends_when_all_have_tidied_up(code):
    done = subprocess.run([sys.executable, "-c", ENDING, str(code)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "tidied\n", "")


def test_the_list_of_models_needs_no_arrays():
    code, loaded = _run("models")
    assert code == 0
    assert not loaded & {*HEAVY, "numpy", "PIL"}


@with_openvino
def test_a_model_converted_before_needs_no_torch(pictures, tmp_path):
    settings = PredictSettings(backend="openvino", device="cpu")
    first = load_model("nuclei").predict(read_image(pictures / "tif.tif"), settings)
    code, loaded = _run("predict", pictures, "-m", "nuclei", "-o", tmp_path, "--backend", "openvino")
    assert code == 0
    assert not loaded & HEAVY
    np.testing.assert_array_equal(read_labels(tmp_path / "tif.tif").data, first.labels)


# -- what is kept --------------------------------------------------------------------------------------


class Converting:
    """Counts how often the network is asked for."""

    def __init__(self, predictor):
        self.predictor, self.times = predictor, 0

    def __call__(self):
        self.times += 1
        return self.predictor.network


@pytest.fixture
def nuclei():
    return Converting(load_model("nuclei"))


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECIMEN_SEG_CACHE", str(tmp_path))
    return tmp_path / "networks"


def _folder_of_nuclei():
    from napari_specimen_seg.models.library import find_model

    return find_model("nuclei")


@with_openvino
def test_what_is_altered_in_the_cache_is_made_again(nuclei, own_cache):
    card, folder = nuclei.predictor.card, _folder_of_nuclei()
    openvino_kept.kept_or_converted(card, folder, nuclei)
    openvino_kept.kept_or_converted(card, folder, nuclei)
    assert nuclei.times == 1
    (entry,) = own_cache.iterdir()
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.write_bytes(content)
    openvino_kept.kept_or_converted(card, folder, nuclei)
    assert nuclei.times == 2
    openvino_kept.kept_or_converted(card, folder, nuclei)
    assert nuclei.times == 2


@with_openvino
def test_a_graph_that_is_refused_is_made_again(nuclei, own_cache, monkeypatch):
    card, folder = nuclei.predictor.card, _folder_of_nuclei()
    key = {}
    monkeypatch.setattr(
        kept, "fetch", lambda asked: key.update(asked) or {"graph": b"<!DOCTYPE a>", "weights": b""}
    )
    assert openvino_kept.kept_or_converted(card, folder, nuclei) is not None
    assert nuclei.times == 1
    assert {key["card"], key["weights"]} == {card.card_sha256, card.sha256}


@with_openvino
def test_altered_weights_are_refused_although_a_network_is_kept(nuclei, own_cache, tmp_path, monkeypatch):
    card, folder = nuclei.predictor.card, _folder_of_nuclei()
    monkeypatch.setattr(kept, "fetch", lambda key: pytest.fail("the cache was asked first"))
    copy = tmp_path / "copy"
    copy.mkdir()
    content = bytearray((folder / card.weights_file).read_bytes())
    content[-1] ^= 1
    (copy / card.weights_file).write_bytes(content)
    with pytest.raises(ModelError, match="altered"):
        openvino_kept.kept_or_converted(card, copy, nuclei)


def test_the_cache_can_be_cleared(own_cache):
    kept.keep({"name": "a"}, {"weights": bytes(1000)})
    assert list(own_cache.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "napari_specimen_seg", "models", "clear-cache", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout)
    assert said["removed"] == 1
    assert said["folder"] == str(own_cache)
    assert not list(own_cache.iterdir())
