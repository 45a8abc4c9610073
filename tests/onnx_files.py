"""Tiny ONNX networks with answers known by hand, for tests."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSETS = [helper.make_opsetid("", 17)]


def network(
    nodes,
    *,
    in_shape=(None, 3, None, None),
    out_shape=(None, 2, None, None),
    tensors=(),
    opsets=None,
    **graph,
):
    """Return a model with input ``picture`` and output ``scores`` (or other ports given)."""
    in_type = graph.pop("in_type", TensorProto.FLOAT)
    out_type = graph.pop("out_type", TensorProto.FLOAT)
    made = helper.make_graph(
        nodes,
        "net",
        graph.pop("inputs", None) or [helper.make_tensor_value_info("picture", in_type, open_(in_shape))],
        graph.pop("outputs", None) or [helper.make_tensor_value_info("scores", out_type, open_(out_shape))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(tensors).items()],
        **graph,
    )
    return helper.make_model(made, opset_imports=opsets or OPSETS, ir_version=9, producer_name="by hand")


def open_(shape):
    return [f"d{i}" if size is None else size for i, size in enumerate(shape)]


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs, outputs, **attributes)


def by_pixel(weights, bias=None, ending=(), **ports):
    """Return a 1 x 1 convolution; `ending` are nodes from ``logits`` to ``scores``."""
    weights = np.asarray(weights, np.float32)
    tensors = {
        "w": weights[:, :, None, None],
        "b": np.asarray(bias if bias is not None else [0] * len(weights), np.float32),
    }
    conv = node("Conv", ["picture", "w", "b"], ["logits" if ending else "scores"])
    tensors.update(ports.pop("tensors", {}))
    ports.setdefault("in_shape", (None, weights.shape[1], None, None))
    ports.setdefault("out_shape", (None, len(weights), None, None))
    return network([conv, *ending], tensors=tensors, **ports)


def save(model, path):
    path.write_bytes(model.SerializeToString())
    return path
