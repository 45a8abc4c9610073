"""ONNX files from strangers: what is in them, and what is refused before anything is computed.

An ONNX file is data, but it may name other files to read, operators that somebody's library implements,
sizes that no machine has, and loops that nothing bounds. All of that is found here in the description
alone; only then is the file handed to onnxruntime.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ModelError, one_line, size_text

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

MAX_FILE_BYTES = 2_000_000_000
"""Protocol buffers hold no more."""

MAX_ELEMENTS = 2**31
"""Of any one tensor, at the size that the network is used with."""

MAX_NODES = 100_000
"""With all functions written out."""

MAX_NESTING = 20

STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml"})

QUANTIZED = frozenset(
    {
        "DequantizeLinear", "FusedConv", "FusedGemm", "FusedMatMul", "Gelu", "QGemm", "QLinearAdd",
        "QLinearAveragePool", "QLinearConcat", "QLinearConv", "QLinearGlobalAveragePool",
        "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid", "QLinearSoftmax", "QuantizeLinear",
    }
)  # fmt: skip
"""What onnxruntime's own tools put into quantized files; built in, so nothing foreign is loaded."""

UNBOUNDED = frozenset({"Loop", "Scan"})
RANDOM = frozenset({"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli",
                    "Multinomial"})  # fmt: skip

Size = int | None
"""Of an axis; None where the file leaves it open."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a network: its name, number type (as numpy calls it) and shape."""

    name: str
    dtype: str
    shape: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class OnnxFacts:
    """What the description of a network tells.

    Parameters
    ----------
    inputs, outputs : tuple of Port
    model : onnx.ModelProto
        Checked.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    model: ModelProto


def check_onnx(content: bytes, path: Path) -> OnnxFacts:
    """Parse an ONNX file and refuse whatever could do more than compute.

    Parameters
    ----------
    content : bytes
        Of the file.
    path : Path
        For messages.

    Returns
    -------
    OnnxFacts

    Raises
    ------
    ModelError
        If it is no ONNX file, or refers to other files, foreign operators, loops, random numbers or
        tensors beyond any honest size.
    """
    model = _parse(content, path)
    _refuse_nodes(model, path)
    for tensor in _tensors(model):
        _refuse_tensor(tensor, path)
    fixed = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_port(value) for value in model.graph.input if value.name not in fixed)
    facts = OnnxFacts(inputs, tuple(_port(value) for value in model.graph.output), model)
    for port in (*facts.inputs, *facts.outputs):
        _refuse_shape(port.name, [size or 1 for size in port.shape], path)
    return facts


def shapes_at(facts: OnnxFacts, sizes: tuple[int, ...], path: Path) -> dict[str, tuple[Size, ...]]:
    """Work out the shapes of all tensors for one size of input, without computing any.

    Parameters
    ----------
    facts : OnnxFacts
    sizes : tuple of int
        Shape of the only input.
    path : Path
        For messages.

    Returns
    -------
    dict of str to tuple
        By name of the tensor; sizes that cannot be told are None.

    Raises
    ------
    ModelError
        If the description contradicts itself, or a tensor is beyond any honest size.
    """
    import onnx

    if len(facts.inputs) != 1:
        raise ModelError(f"the network takes {len(facts.inputs)} inputs, a picture is one", path=path)
    model = onnx.ModelProto()
    model.CopyFrom(facts.model)
    for value in model.graph.input:
        if value.name == facts.inputs[0].name:
            _set_shape(value, sizes)
    for value in model.graph.output:  # what the exporter wrote there may hold for another size only
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    except Exception as error:  # its errors have no common base
        raise ModelError(f"the network contradicts itself ({_first_line(error)})", path=path) from error
    found = {}
    for value in (*inferred.graph.value_info, *inferred.graph.output):
        shape = _port(value).shape
        _refuse_shape(value.name, [size or 1 for size in shape], path)
        found[value.name] = shape
    return found


def producers(facts: OnnxFacts) -> dict[str, NodeProto]:
    """Return the node that makes each tensor of the main graph."""
    return {name: node for node in facts.model.graph.node for name in node.output}


def _parse(content: bytes, path: Path) -> ModelProto:
    onnx = require_onnx()
    if len(content) > MAX_FILE_BYTES:
        raise ModelError("the file is larger than an ONNX file can be", path=path)
    try:
        model: ModelProto = onnx.load_model_from_string(content)
    except Exception as error:  # DecodeError of whichever protobuf is installed
        raise ModelError("it is no ONNX file, or a damaged one", path=path) from error
    if not model.graph.node or not model.opset_import:
        raise ModelError("it is no ONNX file, or an empty one", path=path)
    return model


def require_onnx() -> Any:
    """Import onnx, or tell how to get it."""
    try:
        import onnx
        import onnx.shape_inference
    except ImportError as error:
        raise ModelError(
            "ONNX files need two more packages", advice='Run: pip install "napari-specimen-seg[onnx]".'
        ) from error
    return onnx


# -- what is refused -------------------------------------------------------------------------------


def _refuse_nodes(model: ModelProto, path: Path) -> None:
    functions = {(f.domain, f.name): f for f in model.functions}
    known: dict[tuple[str, str], int] = {}
    total = 0
    for node in _nodes(model.graph, path):
        total += _cost(node, functions, path, known, ())
        if total > MAX_NODES:
            raise ModelError("the network has more steps than any honest one", path=path)
    for function in model.functions:
        for node in function.node:
            _cost(node, functions, path, known, ())


def _cost(
    node: NodeProto,
    functions: dict[tuple[str, str], FunctionProto],
    path: Path,
    known: dict[tuple[str, str], int],
    above: tuple[tuple[str, str], ...],
) -> int:
    """Return the number of steps behind a node; functions are written out when the file is loaded."""
    key = (node.domain, node.op_type)
    if key not in functions:
        _refuse_operator(node, path)
        return 1
    if key in above or len(above) > MAX_NESTING:
        raise ModelError("the network's functions call each other without end", path=path)
    if key not in known:
        inner = (part for child in functions[key].node for part in _with_parts(child, path))
        known[key] = 1 + sum(_cost(child, functions, path, known, (*above, key)) for child in inner)
    return known[key]


def _refuse_operator(node: NodeProto, path: Path) -> None:
    shown = one_line(f"{node.domain}.{node.op_type}" if node.domain else node.op_type, 80)
    built_in = node.domain in STANDARD or (node.domain == "com.microsoft" and node.op_type in QUANTIZED)
    if not built_in:
        raise ModelError(
            f"refused: the network needs the operator {shown}, which is not part of ONNX",
            path=path,
            advice="Export it anew with standard operators only.",
        )
    if node.op_type in UNBOUNDED:
        raise ModelError(f"refused: the network has a loop that nothing bounds ({shown})", path=path)
    if node.op_type in RANDOM:
        raise ModelError(f"refused: the network's answer would be random ({shown})", path=path)


def _nodes(graph: GraphProto, path: Path) -> Iterator[NodeProto]:
    for node in graph.node:
        yield from _with_parts(node, path)


def _with_parts(node: NodeProto, path: Path, depth: int = 0) -> Iterator[NodeProto]:
    """Yield a node and those of the graphs inside it."""
    if depth > MAX_NESTING:
        raise ModelError("the network is nested deeper than any honest one", path=path)
    yield node
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for child in graph.node:
                yield from _with_parts(child, path, depth + 1)


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every tensor wherever it is stored."""
    for training in model.training_info:
        yield from _tensors_in(training.initialization)
        yield from _tensors_in(training.algorithm)
    yield from _tensors_in(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _tensors_of(node)


def _tensors_in(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _tensors_of(node)


def _tensors_of(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        yield attribute.t
        yield from attribute.tensors
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _tensors_in(graph)


def _refuse_tensor(tensor: TensorProto, path: Path) -> None:
    name = one_line(tensor.name, 80)
    if tensor.data_location != 0 or tensor.external_data:
        raise ModelError(
            f"refused: the weights {name} lie in another file",
            path=path,
            advice="Save the network as one file, with its weights inside.",
        )
    _refuse_shape(name, list(tensor.dims), path)


def _refuse_shape(name: str, shape: list[int], path: Path) -> None:
    if any(size < 0 for size in shape) or math.prod(shape) > MAX_ELEMENTS:
        shown = size_text(shape[:6])
        raise ModelError(f"refused: {one_line(name, 80)} has an impossible size ({shown})", path=path)


# -- shapes ----------------------------------------------------------------------------------------


def _port(value: ValueInfoProto) -> Port:
    from onnx import helper

    tensor = value.type.tensor_type
    try:
        dtype = str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except (KeyError, TypeError, ValueError):
        dtype = "unknown"
    # A size of 0 or below is what some exporters write for "open".
    return Port(
        value.name, dtype, tuple(dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim)
    )


def _set_shape(value: ValueInfoProto, sizes: tuple[int, ...]) -> None:
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for size in sizes:
        shape.dim.add().dim_value = size


def _first_line(error: object) -> str:
    return one_line(str(error).strip().partition("\n")[0], 120)
