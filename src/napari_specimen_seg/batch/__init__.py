"""The same work over many files, for the command line and the docks.

Each name is fetched from its room when it is first used, so that building a command line loads neither
networks nor tables.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .commands import measure_command, predict_command
    from .jobs import PredictJob, plan_jobs
    from .measuring import MeasureResult, MeasureSettings, join_tables, measure_files
    from .predicting import predict_files
    from .repeating import repeat_files
    from .results import FileResult

_ROOMS = {
    "FileResult": "results",
    "MeasureResult": "measuring",
    "MeasureSettings": "measuring",
    "PredictJob": "jobs",
    "join_tables": "measuring",
    "measure_command": "commands",
    "measure_files": "measuring",
    "plan_jobs": "jobs",
    "predict_command": "commands",
    "predict_files": "predicting",
    "repeat_files": "repeating",
}

__all__ = [
    "FileResult",
    "MeasureResult",
    "MeasureSettings",
    "PredictJob",
    "join_tables",
    "measure_command",
    "measure_files",
    "plan_jobs",
    "predict_command",
    "predict_files",
    "repeat_files",
]


def __getattr__(name: str) -> Any:
    """Fetch a name from its room on first use."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ROOMS[name]}", __name__), name)


def __dir__() -> list[str]:
    """List the names for completion."""
    return sorted(__all__)
