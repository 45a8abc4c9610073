"""The project as a whole: what it is called, what it tells napari, what it loads and who imports whom."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name

import napari_specimen_seg

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "napari_specimen_seg"
NAME = "napari-specimen-seg"
HEAVY = {
    "dask",
    "magicgui",
    "napari",
    "pandas",
    "pyqtgraph",
    "qtpy",
    "skimage",
    "timm",
    "torch",
    "torchvision",
    "zarr",
}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(PACKAGE / "napari.yaml")


def modules_after(statement: str) -> set[str]:
    """Run a statement in a fresh Python and return the top-level names of all that it loaded."""
    code = (
        f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


# -- names and versions ----------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere(project: dict) -> None:
    assert napari_specimen_seg.__version__ == project["version"]
    assert importlib.metadata.version(NAME) == project["version"]


def test_the_changelog_tells_of_this_version(project: dict) -> None:
    heads = re.findall(r"(?m)^## \[?([^\s\]]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"))

    assert project["version"] in heads


def test_the_citation_names_this_version(project: dict) -> None:
    citation = (ROOT / "CITATION.cff").read_text("utf-8")

    assert re.search(rf'(?m)^version: "?{re.escape(project["version"])}"?$', citation)


def test_the_hub_finds_what_it_shows(project: dict) -> None:
    assert "Framework :: napari" in project["classifiers"]
    assert {"Homepage", "Documentation", "Source Code", "Bug Tracker"} <= project["urls"].keys()
    text = importlib.metadata.metadata(NAME)["Description"]
    assert len(text) > 1000
    assert not re.findall(r"\]\((?!https?://)[^)]*\)", text), "links that lead nowhere outside the repository"


def test_no_qt_binding_is_forced_upon_anyone(project: dict) -> None:
    names = {re.split(r"[\[<>=~! ]", line)[0].lower() for line in project["dependencies"]}

    assert not names & {"pyqt5", "pyqt6", "pyside2", "pyside6"}
    assert not [line for line in project["dependencies"] if line.startswith("napari[")]


# -- what napari is told ---------------------------------------------------------------------------


def test_the_manifest_is_found_by_its_entry_point() -> None:
    found = PluginManifest.from_distribution(NAME)

    assert found.name == NAME


def test_the_manifest_says_what_the_hub_lists(manifest: PluginManifest) -> None:
    assert manifest.name == NAME
    assert manifest.display_name != NAME
    assert [str(c) for c in manifest.categories] == ["Segmentation", "Annotation", "Measurement"]


def test_the_icon_is_in_the_package(manifest: PluginManifest) -> None:
    package, _, resource = str(manifest.icon).partition(":")

    assert package == "napari_specimen_seg"
    assert (PACKAGE / resource).read_text("utf-8").startswith("<svg")


def test_every_command_of_the_manifest_can_be_called(manifest: PluginManifest) -> None:
    commands = manifest.contributions.commands or []

    assert commands
    for command in commands:
        assert callable(import_python_name(command.python_name)), command.id


def test_the_manifest_at_the_top_leads_into_the_package() -> None:
    link = ROOT / "napari.yaml"
    # A checkout on Windows may hold the link's text instead of the link.
    target = link.readlink() if link.is_symlink() else Path(link.read_text("utf-8").strip())

    assert ROOT / target == PACKAGE / "napari.yaml"


def test_the_package_ships_only_what_it_needs() -> None:
    files = [p for p in PACKAGE.rglob("*") if p.is_file() and not p.name.startswith(".")]
    allowed = {".py", ".pyc", ".yaml", ".svg", ".json", ".safetensors", ".md", ".jinja"}

    assert [p for p in files if p.suffix not in allowed and p.name != "py.typed"] == []


# -- what is loaded when ---------------------------------------------------------------------------


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not modules_after("import napari_specimen_seg") & {*HEAVY, "numpy", "pydantic"}


def test_looking_at_classes_loads_nothing_heavy() -> None:
    assert not modules_after("from napari_specimen_seg import ClassMap, LabelClass, SpecimenImage") & HEAVY


def test_reading_and_writing_functions_load_nothing_heavy() -> None:
    assert not modules_after("from napari_specimen_seg import read_image, read_labels, write_labels") & HEAVY


def test_the_command_line_answers_without_anything_heavy() -> None:
    statement = "from napari_specimen_seg.cli import main; assert main(['--help']) == 0"

    assert not modules_after(statement) & HEAVY


@pytest.mark.parametrize("name", napari_specimen_seg.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(napari_specimen_seg, name).__doc__
    assert name in dir(napari_specimen_seg)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        napari_specimen_seg.nonsense  # noqa: B018


# -- the rooms -------------------------------------------------------------------------------------


def test_rooms_lead_one_way() -> None:
    tool = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip("import-linter is not installed")

    done = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout
