"""A model as a bioimage.io package, which Fiji, ilastik, QuPath and others open."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.files.atomic import atomic
from ..core.input_settings import ByDtype, Tiles
from ..core.progress import Progress, Report, silent
from .bioimageio_import import CONFIG, SMP
from .bioimageio_steps import steps_after, steps_of
from .bundle import readme
from .card import ModelCard
from .network import is_in_library, stride_of_card
from .onnx_export import example_size, least_size, onnx_bytes
from .onnx_files import require_onnx
from .smp_config import smp_call

if TYPE_CHECKING:
    from .predictor import Predictor

DESCRIPTION = "rdf.yaml"

FORMAT = "0.5.4"
"""Of the description: old enough for the programs that open packages, and the zoo's checks take it."""

PICTURE, ANSWER = "picture", "probabilities"
ONNX, STATE = "weights.onnx", "weights.pt"

FIXED_DATE = (2020, 1, 1, 0, 0, 0)
"""Of entries in the archive, so that the same model gives the same bytes."""


def export_package(
    predictor: Predictor, path: str | os.PathLike[str], report: Report = silent, *, overwrite: bool = False
) -> Path:
    """Write a model as a bioimage.io package.

    Parameters
    ----------
    predictor : Predictor
    path : path-like
        A zip archive if it ends with ``.zip``, else a folder.
    report : callable
        May raise `CancelledError`.
    overwrite : bool

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If the model cannot be described there, or packages are missing.
    WriteError
        If the target exists or cannot be written.
    """
    with atomic(path, overwrite) as draft:
        files = package_files(predictor, report)
        _write(files, draft, zipped=Path(path).suffix.lower() == ".zip")
    return Path(path)


def package_files(predictor: Predictor, report: Report = silent) -> dict[str, bytes]:
    """Return the files of a package by name.

    Parameters
    ----------
    predictor : Predictor
    report : callable

    Returns
    -------
    dict of str to bytes
        The description, weights, a test picture with the answer to it, and the page for people.
    """
    card = predictor.card
    onnx = onnx_bytes(predictor, report)
    report(Progress("computing the test", 0, 0))
    picture, answer = shipped_test(predictor)
    files = {ONNX: onnx, "README.md": _documentation(card).encode(), **_cover(picture)}
    if is_in_library(card):
        files[STATE] = _state_dict(predictor)
    files |= {"test_picture.npy": _npy(picture), "test_probabilities.npy": _npy(answer)}
    return {DESCRIPTION: _yaml(_description(card, files, picture.shape)), **files}


def _yaml(content: dict[str, Any]) -> bytes:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes what occurs twice twice: not every reader knows references."""

        def ignore_aliases(self, data: Any) -> bool:
            del data
            return True

    return yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True).encode()


def _write(files: Mapping[str, bytes], draft: Path, *, zipped: bool) -> None:
    if not zipped:
        draft.mkdir()
        for name, content in files.items():
            (draft / name).write_bytes(content)
        return
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, FIXED_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)


# -- what is in it ---------------------------------------------------------------------------------


def _description(card: ModelCard, files: Mapping[str, bytes], shape: tuple[int, ...]) -> dict[str, Any]:
    import hashlib

    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    sizes = _sizes(card, (shape[2], shape[3]))
    return {
        "type": "model",
        "format_version": FORMAT,
        "name": package_name(card.name),
        "description": card.description
        or f"Segments {', '.join(c.name for c in card.class_map.foreground)}.",
        "version": card.version,
        "license": card.license or None,
        "documentation": "README.md",
        "covers": ["cover.png"],
        "cite": _citations(card),
        "tags": ["segmentation", "semantic-segmentation", "2d", "pytorch", "napari"],
        "inputs": [_input(card, sizes, file("test_picture.npy"))],
        "outputs": [_output(card, file("test_probabilities.npy"))],
        "weights": _weights(card, files, file),
        "config": {
            "bioimageio": {
                "reproducibility_tolerance": [{"relative_tolerance": 1e-3, "absolute_tolerance": 1e-3}]
            },
            CONFIG: {"card": _plain_card(card)},
        },
    }


def _list_of_classes(card: ModelCard) -> str:
    return ", ".join(entry.name for entry in card.class_map.foreground)


def package_name(name: str) -> str:
    """Return a name that bioimage.io takes: five letters or more, of few kinds."""
    plain = re.sub(r"[^A-Za-z0-9_+\- ()]", "-", name)
    return plain if len(plain) >= 5 else f"{plain} model"


def _citations(card: ModelCard) -> list[dict[str, str]]:
    """Return what is to be cited: bioimage.io wants a DOI or an address with each."""
    found = []
    for entry in card.training.attribution:
        doi = re.sub(r"^(https?://(dx\.)?doi\.org/|doi:)", "", entry.doi.strip())
        if re.fullmatch(r"10\.\d{4,9}/\S+", doi):
            found.append({"text": entry.title, "doi": doi})
        elif entry.url.startswith(("https://", "http://")):
            found.append({"text": entry.title, "url": entry.url})
    return found


def _plain_card(card: ModelCard) -> dict[str, Any]:
    return card.model_copy(update={"sha256": "", "card_sha256": ""}).model_dump(mode="json")


def _sizes(card: ModelCard, example: tuple[int, int]) -> list[int | dict[str, int]]:
    """Return which heights and widths the network takes."""
    geometry = card.preprocessing.geometry
    if not isinstance(geometry, Tiles) or not geometry.fitted:
        return list(example)
    return [{"min": least_size(card), "step": stride_of_card(card)}] * 2


def _input(card: ModelCard, sizes: list[int | dict[str, int]], test: dict[str, str]) -> dict[str, Any]:
    preprocessing = card.preprocessing
    colours = ["red", "green", "blue"] if preprocessing.channels == "rgb" else None
    names = colours or [f"channel_{i + 1}" for i in range(preprocessing.in_channels)]
    eight_bit = isinstance(preprocessing.values, ByDtype)
    return {
        "id": PICTURE,
        "description": "One picture, 8 bits per channel." if eight_bit else "One picture.",
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": names},
            {"type": "space", "id": "y", "size": sizes[0]},
            {"type": "space", "id": "x", "size": sizes[1]},
        ],
        "data": {"type": "uint8" if eight_bit else "float32"},
        "preprocessing": steps_of(preprocessing),
        "test_tensor": test,
    }


def _output(card: ModelCard, test: dict[str, str]) -> dict[str, Any]:
    geometry = card.preprocessing.geometry
    stride = stride_of_card(card)
    # A halo that is no multiple of the stride would ask for pictures of other sizes than the network takes.
    halo = geometry.halo // stride * stride if isinstance(geometry, Tiles) and geometry.fitted else 0
    names = [_identifier(card.class_map.name_of(class_id)) for class_id in card.channel_ids]
    space = [
        {
            "type": "space",
            "id": axis,
            "size": {"tensor_id": PICTURE, "axis_id": axis},
            **({"halo": halo} if halo else {}),
        }
        for axis in "yx"
    ]
    return {
        "id": ANSWER,
        "description": "Probability of each class.",
        "axes": [{"type": "batch"}, {"type": "channel", "channel_names": _different(names)}, *space],
        "data": {"type": "float32", "range": [0.0, 1.0]},
        "postprocessing": steps_after(card),
        "test_tensor": test,
    }


def _identifier(name: str) -> str:
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    return plain if re.match(r"[a-z_]", plain) else f"class_{plain or 'x'}"


def _different(names: list[str]) -> list[str]:
    """Return names with a number behind those that became the same."""
    return [name if names.index(name) == i else f"{name}_{i}" for i, name in enumerate(names)]


def _weights(card: ModelCard, files: Mapping[str, bytes], file: Any) -> dict[str, Any]:
    onnx = {**file(ONNX), "opset_version": _opset(files[ONNX])}
    if STATE not in files:
        return {"onnx": onnx}
    import torch

    name, arguments = smp_call(card)
    architecture = {"import_from": SMP, "callable": name, "kwargs": arguments}
    state = {
        **file(STATE),
        "architecture": architecture,
        "pytorch_version": str(torch.__version__).split("+")[0],
    }
    return {"pytorch_state_dict": state, "onnx": {**onnx, "parent": "pytorch_state_dict"}}


def _opset(content: bytes) -> int:
    model = require_onnx().load_model_from_string(content)
    return max(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _state_dict(predictor: Predictor) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(dict(predictor.network.state_dict()), file)
    return file.getvalue()


def shipped_test(predictor: Predictor) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return a picture (1, C, Y, X), as the package takes it, and the probabilities of its pixels."""
    import torch

    card = predictor.card
    preprocessing = card.preprocessing
    height, width = example_size(card)
    plane = drawn_picture(height, width, preprocessing.in_channels)
    if not isinstance(preprocessing.values, ByDtype):
        plane = plane.astype(np.float32)
    values = preprocessing.value_range(plane)
    batch = np.ascontiguousarray(preprocessing.normalise(plane, values)[None])
    with torch.inference_mode():
        answer = predictor.network(torch.from_numpy(batch)).float()
    for step in steps_after(card):
        answer = answer.sigmoid() if step["id"] == "sigmoid" else answer.softmax(1)
    return np.moveaxis(plane, -1, 0)[None].copy(), answer.numpy()


def drawn_picture(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Return a smooth pattern (Y, X, C).

    Its darkest and lightest parts are flat, so that all definitions of percentiles agree on it.
    """
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / (7 + 3 * c) + c) + np.cos(columns / (11 + 2 * c) - c) for c in range(channels)]
    return (np.clip(np.stack(waves, -1) * 0.35 + 0.5, 0.0, 1.0) * 255).astype(np.uint8)


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _cover(picture: NDArray[Any]) -> dict[str, bytes]:
    """Return a small picture for lists of models."""
    from PIL import Image

    planes = np.resize(picture[0], (3, *picture.shape[2:])).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.moveaxis(planes, 0, -1)).resize((256, 256)).save(file, "PNG")
    return {"cover.png": file.getvalue()}


def _documentation(card: ModelCard) -> str:
    geometry = card.preprocessing.geometry
    if isinstance(geometry, Tiles):
        size = f"{geometry.size} x {geometry.size}"
        use = f"Give it pictures at their own scale, in tiles of about {size} pixels."
    else:
        height, width = example_size(card)
        how = "padded to a square and resized" if geometry.kind == "pad" else "stretched"
        use = f"Pictures must be {how} to {height} x {width} pixels first; a package cannot say so."
    scores = "The scores above were measured on pictures that the network did not learn from."
    check = (
        scores
        if card.scores
        else "No scores came with this model: compare its masks with some drawn by hand."
    )
    return f"{readme(card)}\n## Use\n\n{use}\n\n## Validation\n\n{check}\n"
