"""Which calls rebuilding a network needs. Everything else in a pickle is named to the person.

Nothing is called either way. The list decides whether a file may be used in silence: what is on it says
something that is understood here (a tensor, a dictionary, a layer), or something that masks do not depend on
(an optimizer, a path).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .records import Name

_BUILTINS = {
    *("set", "frozenset", "list", "tuple", "dict", "bytes", "bytearray", "object", "int", "long", "float"),
    *("bool", "str", "unicode", "complex", "slice", "range", "xrange", "getattr"),
}

_FUNCTIONS = {
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _BUILTINS),
    *(f"collections.{name}" for name in ("OrderedDict", "defaultdict", "deque", "Counter")),
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(f"pathlib._local.{name}" for name in ("Path", "PosixPath", "WindowsPath")),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(f"numpy.{name}" for name in ("dtype", "ndarray")),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
    *("_codecs.encode", "copyreg._reconstructor", "copy_reg._reconstructor", "functools.partial"),
    *("argparse.Namespace", "types.SimpleNamespace", "random.Random", "uuid.UUID", "decimal.Decimal"),
    *(f"inspect.{name}" for name in ("Parameter", "Signature", "_ParameterKind")),
    *("PIL.Image.Resampling", "PIL.Image.Transpose", "operator.itemgetter", "operator.attrgetter"),
    *("torch.Size", "torch.device", "torch.Tensor", "torch.nn.parameter.Parameter"),
    *("torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type"),
    *("torch.utils.hooks.RemovableHandle", "torch.serialization._get_layout"),
    *("fastai.torch_core._rebuild_from_type", "fastai.torch_core._fa_rebuild_tensor"),
    *("fastcore.basics.fastuple", "fastcore.foundation.L"),
}
"""Functions, and classes written in small letters, that are understood or do not matter."""

_TENSORS = re.compile(r"torch\._utils\._rebuild_\w+")

_CLASSES = re.compile(
    r"(torch\.(nn|optim|cuda\.amp|amp)|segmentation_models_pytorch|pretrainedmodels\.models|efficientnet_pytorch"
    r"|timm\.(models|layers)|torchvision\.(models|ops|transforms)|fastai|fastcore|fastprogress|inplace_abn"
    r"|pytorch_lightning|lightning|lightning_fabric|torchmetrics|omegaconf)(\.\w+)*\._?[A-Z]\w*"
)
"""Layers and their helpers: classes only, which by custom begin with a capital."""


def is_known(name: Name) -> bool:
    """Tell whether rebuilding a network needs a call, or masks do not depend on it.

    Parameters
    ----------
    name : Name

    Returns
    -------
    bool
    """
    dotted = name.dotted
    return (
        dotted in _FUNCTIONS
        or _TENSORS.fullmatch(dotted) is not None
        or (dotted.isascii() and _CLASSES.fullmatch(dotted) is not None)
    )


def foreign_calls(calls: Mapping[str, Name | None]) -> tuple[str, ...]:
    """Return those calls, in words, that no network needs.

    Parameters
    ----------
    calls : mapping of str to Name or None
        From `Findings.calls`.

    Returns
    -------
    tuple of str
    """
    return tuple(text for text, name in calls.items() if name is None or not is_known(name))
