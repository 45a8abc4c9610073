"""Make the pictures of the Models dock in ``docs/images``.

Run it on a screen of 1366 x 768 pixels, real or virtual::

    xvfb-run -s "-screen 0 1366x768x24" python docs/make_model_pictures.py
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ["SPECIMEN_SEG_MODELS"] = str(Path(tempfile.mkdtemp(), "models"))

import napari
import onnx
from make_pictures import TARGET, grab
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from qtpy.QtCore import QSettings
from window_hand import pause, until

from napari_specimen_seg.models.importing import ImportOptions, import_model
from napari_specimen_seg.plugin.dock import PLUGIN, open_dock
from napari_specimen_seg.plugin.models import ModelsDock


def onnx_file(path: Path) -> Path:
    """Write a network that tells leaf from sheet by how green a pixel is."""
    import numpy as np

    weights = np.array([[4, -4, 2], [-4, 6, -2], [1, 1, -2]], np.float32)[:, :, None, None]
    nodes = [
        helper.make_node("Conv", ["picture", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 512, 512])
        for name in ("picture", "scores")
    ]
    stored = [numpy_helper.from_array(weights, "weights")]
    graph = helper.make_graph(nodes, "leaf", ports[:1], ports[1:], stored)
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="pytorch")
    onnx.save(model, path)
    return path


def old_weights(path: Path) -> Path:
    """Write the weights of a network alone, which leave a few things open."""
    import segmentation_models_pytorch as smp
    import torch

    torch.manual_seed(0)
    network = smp.FPN("mobilenet_v2", encoder_weights=None, classes=3)
    torch.save({"state_dict": network.state_dict()}, path)
    return path


def keep(name: str) -> None:
    """Keep the half of the screen with the dock."""
    grab(name)
    path = TARGET / f"{name}.png"
    with Image.open(path) as opened:
        half = opened.crop((opened.width // 2, 0, opened.width, opened.height))
    half.save(path, optimize=True)


def main() -> None:
    """Open the dock, import a file, answer its questions."""
    folder = Path(tempfile.mkdtemp())
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(folder))
    said = ImportOptions(classes="background,grain,husk", preprocessing="imagenet", license="CC-BY-4.0")
    import_model(onnx_file(folder / "seed.onnx"), Path(os.environ["SPECIMEN_SEG_MODELS"]) / "seeds", said)
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window._qt_window.setGeometry(viewer.window._qt_window.screen().geometry())
    viewer.open_sample(PLUGIN, "sheet")
    dock = open_dock(viewer, ModelsDock, "Models")
    pause(2)
    dock.import_path(onnx_file(folder / "leaf.onnx"))
    until(lambda: dock.form.isVisible() and dock.job is None)
    dock.form.fields["classes"].setText("background, leaf, stem")
    dock.form.fields["preprocessing"].setCurrentText("imagenet:tiles=512")
    dock.form.fields["license"].setText("CC-BY-4.0")
    keep("models-import")
    dock.form.go.click()
    until(lambda: dock.job is None and not dock.form.isVisible())
    dock.details.setChecked(True)
    keep("models-details")
    dock.details.setChecked(False)
    dock.import_path(old_weights(folder / "old-leaf.pth"))
    until(lambda: dock.form.isVisible() and dock.job is None)
    keep("models-confirm")
    viewer.close()


if __name__ == "__main__":
    main()
