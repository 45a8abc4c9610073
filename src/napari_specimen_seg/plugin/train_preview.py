"""Work that the Train dock does before training: varied samples, and the learning-rate finder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.progress import Progress, Report

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ..training.config import TrainConfig
    from ..training.lr_find import RateCurve
    from ..training.samples import Sheet


def samples_work(config: TrainConfig) -> Callable[[Report], Sheet]:
    """Return work that makes a sheet of varied samples."""

    def work(report: Report) -> Sheet:
        from ..training.samples import sample_sheet

        report(Progress("reading pictures", 0, 0))
        return sample_sheet(config)

    return work


def show_samples(viewer: Viewer, sheet: Sheet) -> None:
    """Show a sheet as a picture with labels on it; an earlier one is replaced."""
    from .layers import class_colormap

    for name in ("augmented samples", "augmented labels"):
        if name in viewer.layers:
            viewer.layers.remove(name)
    viewer.add_image(sheet.picture, name="augmented samples", rgb=sheet.picture.shape[-1] == 3)
    viewer.add_labels(
        sheet.labels, name="augmented labels", colormap=class_colormap(sheet.class_map), opacity=0.5
    )
    viewer.reset_view()


def rate_work(config: TrainConfig) -> Callable[[Report], RateCurve]:
    """Return work that finds a learning rate."""

    def work(report: Report) -> RateCurve:
        from ..training.lr_find import find_rate

        report(Progress("reading pictures", 0, 0))
        return find_rate(config, report=report)

    return work
