"""Writing a model as one ONNX file that carries its card, so that it opens here again without a question."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ModelError
from ..core.files.atomic import atomic
from ..core.input_settings import Tiles
from ..core.progress import Progress, Report, silent
from .card import ModelCard, OnnxNetwork
from .network import stride_of_card
from .onnx_files import require_onnx
from .onnx_read import CARD_KEY

if TYPE_CHECKING:
    import torch

    from .predictor import Predictor

INPUT, OUTPUT = "picture", "scores"

OPSET = 18


def export_onnx(
    predictor: Predictor, path: str | os.PathLike[str], report: Report = silent, *, overwrite: bool = False
) -> Path:
    """Write a model's network as an ONNX file.

    Parameters
    ----------
    predictor : Predictor
    path : path-like
        Of the new file.
    report : callable
        May raise `CancelledError`.
    overwrite : bool

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If the network cannot be written as ONNX, or packages are missing.
    WriteError
        If the file exists or cannot be written.
    """
    with atomic(path, overwrite) as draft:
        draft.write_bytes(onnx_bytes(predictor, report))
    return Path(path)


def onnx_bytes(predictor: Predictor, report: Report = silent) -> bytes:
    """Return the content of an ONNX file with a model's network and card.

    Parameters
    ----------
    predictor : Predictor
    report : callable

    Returns
    -------
    bytes
        Takes ``picture`` (N, C, Y, X) float32, normalised, and answers ``scores`` like the network itself;
        of any size where the model works in tiles, else of the card's size.
    """
    report(Progress("writing the network as ONNX", 0, 0))
    card = predictor.card
    if card.openvino is not None:
        raise ModelError(
            f"{card.name} was exported already", advice="Export the model that it was made from."
        )
    if card.onnx is not None:
        from .net_module import NetModule
        from .onnx_run import OnnxNet

        assert isinstance(predictor.network, NetModule)
        assert isinstance(predictor.network.net, OnnxNet)
        content, interface = predictor.network.net.content, card.onnx
    else:
        size = example_size(card)
        content = _converted(predictor.network, card, size)
        interface = _interface(card, size)
    return _with_card(content, card, interface)


def example_size(card: ModelCard) -> tuple[int, int]:
    """Return height and width of a picture as the network sees it: the card's, or small tiles."""
    geometry = card.preprocessing.geometry
    if isinstance(geometry, Tiles):
        side = max(min(geometry.size, 128), least_size(card)) if geometry.fitted else geometry.size
        stride = stride_of_card(card)
        return (-(-side // stride) * stride,) * 2
    place = card.preprocessing.placement(100, 100)
    return place.shape


def least_size(card: ModelCard) -> int:
    """Return the smallest side of a tile that leaves something inside its halo, in steps of the stride."""
    geometry, stride = card.preprocessing.geometry, stride_of_card(card)
    halo = geometry.halo if isinstance(geometry, Tiles) else 0
    return -(-(2 * halo + 1) // stride) * stride


def _interface(card: ModelCard, size: tuple[int, int]) -> OnnxNetwork:
    free = isinstance(card.preprocessing.geometry, Tiles)
    return OnnxNetwork(
        input=INPUT,
        output=OUTPUT,
        height=None if free else size[0],
        width=None if free else size[1],
        stride=stride_of_card(card),
    )


def _converted(network: torch.nn.Module, card: ModelCard, size: tuple[int, int]) -> bytes:
    """Return the network as ONNX, its axes free where the model works in tiles."""
    import torch
    from torch.export import Dim

    require_onnx()
    example = torch.zeros(2, card.preprocessing.in_channels, *size)
    axes = (0, 2, 3) if isinstance(card.preprocessing.geometry, Tiles) else (0,)
    file = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself, many
            program: Any = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=(dict.fromkeys(axes, Dim.DYNAMIC),),
            )
            program.save(file)
    except ImportError as error:
        raise ModelError(
            "writing ONNX files needs more packages", advice='Run: pip install "napari-specimen-seg[onnx]".'
        ) from error
    except Exception as error:  # the exporter's errors have no common base
        raise ModelError(
            f"{card.name}: the network cannot be written as ONNX ({_first_line(error)})"
        ) from error
    return file.getvalue()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _with_card(content: bytes, card: ModelCard, interface: OnnxNetwork) -> bytes:
    """Put the card into the file's metadata, where others may read it too."""
    onnx = require_onnx()
    model = onnx.load_model_from_string(content)
    stored = card.model_copy(
        update={
            "architecture": "ONNX",
            "encoder": "",
            "options": {},
            "onnx": interface,
            "sha256": "",
            "card_sha256": "",
        }
    )
    kept = [entry for entry in model.metadata_props if entry.key != CARD_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=CARD_KEY, value=stored.model_dump_json())
    text: bytes = model.SerializeToString(deterministic=True)
    return text
