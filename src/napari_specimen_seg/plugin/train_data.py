"""What is trained on: folders, or pictures and labels that are open in the viewer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFileDialog,
    QListWidgetItem,
    QMenu,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from ..core.errors import SpecimenError, one_line
from ..core.progress import Progress, Report
from .dock import PLUGIN, heading, quiet, row, slim
from .pictures import layer_path
from .train_findings import FindingsList, files_of, fit_view
from .train_layers import Held, OpenPair, TooFewError, folders_in, hold, open_pairs

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from ..core.classes import ClassMap
    from ..training.config import TrainConfig
    from .train_settings import Section

BACKGROUND, UNLABELLED = "is background", "means not labelled"


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at the data found.

    Parameters
    ----------
    pairs, learn, validate : int
        Numbers of pictures.
    classes : tuple of str
    findings : tuple of (str, str, tuple of Path)
        Severity, text and files.
    """

    pairs: int
    learn: int
    validate: int
    classes: tuple[str, ...]
    findings: tuple[tuple[str, str, tuple[Path, ...]], ...]

    @property
    def errors(self) -> int:
        """How many findings must be mended before training."""
        return sum(severity == "error" for severity, _, _ in self.findings)


def look_at(config: TrainConfig, report: Report) -> Looked:
    """Check the data that a training would use.

    Parameters
    ----------
    config : TrainConfig
    report : callable

    Returns
    -------
    Looked

    Raises
    ------
    SpecimenError
        If nothing can be paired or split.
    """
    report(Progress("looking at the data", 0, 0))
    from ..training.describe import class_map_of
    from ..training.pairs import find_pairs
    from ..training.preflight import inspect
    from ..training.split import split_pairs

    found = find_pairs(config.data)
    class_map = config.data.class_map or class_map_of(config, found.pairs)
    learn, validate = split_pairs(found.pairs, config.data, config.run.seed)
    report(Progress("looking at the data", 0, 0))
    findings = inspect(found, learn, validate, config, class_map)
    return Looked(
        len(found.pairs),
        len(learn),
        len(validate),
        tuple(c.name for c in class_map.foreground),
        tuple((f.severity, f.what, f.files) for f in findings),
    )


class DataPicker(QWidget):
    """Folders or layers, what was found in them, and the offenders one click away.

    Parameters
    ----------
    viewer : napari.Viewer
    section : Section
        The settings about labels and split.

    Signals
    -------
    changed
        Other data are chosen, or their labels mean something else.
    refused
        A file cannot be opened; carries the error.
    """

    changed = Signal()
    refused = Signal(object)

    def __init__(self, viewer: Viewer, section: Section) -> None:
        super().__init__()
        self._viewer = viewer
        self._section = section
        self.images: Path | None = None
        self.labels: Path | None = None
        self.pairs: list[OpenPair] = []
        self._make_controls()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        box.addLayout(row(heading("1 Data"), self.from_layers, self.from_folders, stretch=3))
        box.addLayout(row(self.choose_images, self.choose_labels))
        for part in (self.about, self.findings):
            box.addWidget(part)
        box.addLayout(row(heading("Label 0"), self.zero, stretch=1))
        box.addWidget(section)
        self._connect()

    def _make_controls(self) -> None:
        self.from_layers = QRadioButton("open layers")
        self.from_folders = QRadioButton("folders")
        self.from_folders.setChecked(True)
        group = QButtonGroup(self)
        for radio in (self.from_layers, self.from_folders):
            group.addButton(radio)
        self.choose_images = self._menu_button(
            "Pictures…",
            "Folder or list of the pictures",
            {"Folder…": self._ask_images, "List (CSV)…": self._ask_list},
        )
        self.choose_labels = self._menu_button(
            "Masks…",
            "The masks, named like the pictures",
            {"Folder…": self._ask_labels, "COCO file (JSON)…": self._ask_coco},
        )
        self.about = quiet("Choose a folder of pictures and a folder of masks.")
        self.findings = FindingsList()
        self.zero = slim(QComboBox())
        self.zero.addItems([BACKGROUND, UNLABELLED])
        self.zero.setToolTip(
            "A few strokes per class are enough: then 0 means not labelled, and is neither learned nor scored"
        )

    def _menu_button(self, text: str, tip: str, entries: dict[str, Callable[[], None]]) -> QPushButton:
        made = QPushButton(text)
        made.setToolTip(tip)
        menu = QMenu(made)
        for name, slot in entries.items():
            menu.addAction(name).triggered.connect(lambda *_, do=slot: do())
        made.setMenu(menu)
        return made

    def _connect(self) -> None:
        self.findings.itemClicked.connect(self.open_finding)
        self.from_folders.toggled.connect(self.refresh)
        self.zero.currentTextChanged.connect(self._on_zero)
        self._section.changed.connect(self._on_section)

    # -- what is chosen ------------------------------------------------------------------------------

    def use_folders(self, images: Path, labels: Path | None) -> None:
        """Choose folders."""
        self.images, self.labels = images, labels
        with QSignalBlocker(self.from_folders):
            self.from_folders.setChecked(True)
        self.refresh()

    def use_layers(self) -> None:
        """Choose what is open."""
        self.from_layers.setChecked(True)

    def finds_layers(self) -> bool:
        """Tell whether pictures are open with labels."""
        return bool(open_pairs(self._viewer))

    def layer_of(self, stem: str) -> Image | None:
        """Return the open picture that is called so where it is written; None for planes of stacks."""
        return next((p.picture for p in self.pairs if p.stem == stem and not p.planes), None)

    @property
    def uses_layers(self) -> bool:
        """Whether open layers are chosen."""
        return bool(self.from_layers.isChecked())

    @property
    def is_ready(self) -> bool:
        """Whether there is something to look at."""
        return self._has_enough if self.uses_layers else self.images is not None

    @property
    def _has_enough(self) -> bool:
        """Whether open layers may hold two pairs; how many planes of a stack have labels is found later."""
        return len(self.pairs) > 1 or any(pair.planes for pair in self.pairs)

    @property
    def place(self) -> Path | None:
        """Where the pictures lie; None for open layers."""
        return None if self.uses_layers else self.images

    @property
    def class_map(self) -> ClassMap | None:
        """The classes that open labels have; None where they, or folders, do not say."""
        maps = [pair.labels.metadata.get("class_map") for pair in self.pairs] if self.uses_layers else []
        return next((found for found in maps if found is not None), None)

    def paths(self, folder: Path) -> dict[str, Any]:
        """Return the data settings; open layers are expected in `folder`, where `write_open` puts them.

        Raises
        ------
        SpecimenError
            If nothing is chosen.
        """
        if not self.uses_layers:
            if self.images is None:
                raise SpecimenError("no pictures are chosen", advice="Choose a folder of pictures.")
            return {"images": self.images, "labels": self.labels}
        if not self._has_enough:
            raise TooFewError
        images, labels = folders_in(folder)
        return {"images": images, "labels": labels}

    def take(self) -> list[Held]:
        """Take hold of the open pictures and labels; empty where folders are chosen."""
        return hold(self.pairs) if self.uses_layers else []

    # -- what was found ------------------------------------------------------------------------------

    def show_found(self, looked: Looked) -> None:
        """Show what a look at the data found."""
        mend = f" · {looked.errors} to mend" if looked.errors else ""
        self.about.setText(
            f"{looked.pairs} pairs · {len(looked.classes)} classes · "
            f"{looked.learn} to learn from, {looked.validate} to validate on{mend}"
        )
        self.about.setToolTip(", ".join(looked.classes))
        self.findings.show_findings(looked.findings)

    def open_finding(self, item: QListWidgetItem) -> None:
        """Bring the offenders of a finding into view: open their files, or select their layers."""
        opened: list[Layer] = []
        for path in files_of(item):
            if not self._select(path.stem) and path.is_file():
                opened += self._open(path)
        if opened:
            self._viewer.layers.selection.active = opened[-1]
            fit_view(self._viewer, opened)

    def _select(self, stem: str) -> bool:
        """Bring an open pair, or a plane of it, into view; tell whether there is one of this name."""
        for pair in self.pairs if self.uses_layers else []:
            plane = pair.plane_called(stem)
            if plane is not None:
                self._show_pair(pair, plane)
                return True
        return False

    def _show_pair(self, pair: OpenPair, plane: tuple[int, ...]) -> None:
        for layer in (pair.picture, pair.labels):
            layer.visible = True
        world = pair.labels.data_to_world((*plane, 0, 0))
        lead = self._viewer.dims.ndim - len(world)
        for axis in range(len(plane)):
            self._viewer.dims.set_point(lead + axis, world[axis])
        self._viewer.layers.selection.active = pair.labels
        fit_view(self._viewer, [pair.picture])

    def _open(self, path: Path) -> list[Layer]:
        """Show a file and return its layers; one that is open is not opened again."""
        layers = [layer for layer in self._viewer.layers if layer_path(layer) == path]
        try:
            layers = layers or self._viewer.open(path, plugin=PLUGIN)
        except Exception as error:  # whatever a reader raises is to be shown
            self.refused.emit(error)
            return []
        for layer in layers:
            layer.visible = True
        return layers

    # -- events --------------------------------------------------------------------------------------

    def refresh(self, event: Any = None) -> None:
        """Bring everything in line with what is chosen and open."""
        del event
        folders = not self.uses_layers
        pairs = [] if folders else open_pairs(self._viewer)
        if pairs and pairs == self.pairs:
            return  # a layer of another kind came or went
        for widget in (self.choose_images, self.choose_labels):
            widget.setVisible(folders)
        self.findings.setVisible(False)
        self.pairs = pairs
        if folders:
            names = [one_line(p.name, 40) for p in (self.images, self.labels) if p is not None]
            self.about.setText(" + ".join(names) or "Choose a folder of pictures and a folder of masks.")
        elif self.pairs:
            stacks = " Planes with labels count each." if any(pair.planes for pair in self.pairs) else ""
            count = len(self.pairs)
            self.about.setText(f"{count} pair{'s' * (count != 1)} of picture and labels are open.{stacks}")
        else:
            self.about.setText("Open pictures, and above each a Labels layer of its size.")
        self.changed.emit()

    def _on_zero(self, text: str) -> None:
        form = self._section.forms["data"]
        before = form.controls["ignore_id"].get()
        if text == UNLABELLED and before != 0:
            form.controls["ignore_id"].set(0)
        elif text == BACKGROUND and before == 0:
            form.controls["ignore_id"].set(None)

    def _on_section(self) -> None:
        ignored = self._section.forms["data"].controls["ignore_id"].get()
        with QSignalBlocker(self.zero):
            self.zero.setCurrentText(UNLABELLED if ignored == 0 else BACKGROUND)
        self.changed.emit()

    def show_zero(self) -> None:
        """Show what 0 means after settings were set by the program."""
        with QSignalBlocker(self):
            self._on_section()

    def ask_folders(self) -> None:
        """Ask for a folder of pictures, and for that of their masks if it is not beside it."""
        self._ask_images()
        if self.images is not None and self.labels is None:
            self._ask_labels()

    def _ask_images(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of pictures", str(self.images or ""))
        if folder:
            self.use_folders(Path(folder), self.labels or masks_beside(Path(folder)))

    def _ask_list(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "List with the columns image and labels", "", "CSV (*.csv)"
        )
        if path:
            self.use_folders(Path(path), None)

    def _ask_labels(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "Folder of masks", str(self.labels or self.images or "")
        )
        if folder:
            self._use_labels(Path(folder))

    def _ask_coco(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "COCO file", "", "COCO (*.json)")
        if path:
            self._use_labels(Path(path))

    def _use_labels(self, labels: Path) -> None:
        self.labels = labels
        self.refresh()


def masks_beside(images: Path) -> Path | None:
    """Return the folder of masks that lies beside a folder of pictures, where it has a usual name."""
    return next(
        (p for name in ("labels", "masks") if (p := images.parent / name).is_dir() and p != images), None
    )
