"""What made a mask is written down whole, and the same every time."""

import hashlib
import json

import pytest

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import ReadError, WriteError
from napari_specimen_seg.core.provenance import (
    Provenance,
    class_map_id,
    package_versions,
    provenance_of,
    read_provenance,
    sha256_of,
    write_provenance,
)

DESCRIBED = {
    "model": {"name": "nuclei", "version": "1", "card_sha256": "a" * 64, "sha256": "b" * 64},
    "settings": {"device": "auto", "tile": None, "threshold": 0.1},
    "engine": {"device": "cpu", "backend": "torch", "precision": "fp32"},
}


def test_what_is_written_down(tmp_path):
    picture = tmp_path / "scan é.png"
    picture.write_bytes(b"pixels")
    found = provenance_of(DESCRIBED, picture, shape=(3, 4), class_map=PRESETS["nuclei"])
    assert found["input"] == {
        "name": "scan é.png",
        "sha256": hashlib.sha256(b"pixels").hexdigest(),
        "shape": [3, 4],
    }
    assert {key: found[key] for key in DESCRIBED} == DESCRIBED
    assert found["class_map"] == class_map_id(PRESETS["nuclei"]) != class_map_id(PRESETS["specimen"])
    assert {"python", "numpy", "torch", "napari-specimen-seg"} <= set(found["versions"])
    assert "openvino" not in found["versions"]


def test_the_same_bytes_every_time_and_read_again(tmp_path):
    found = provenance_of(DESCRIBED, "a.png", sha256="c" * 64)
    write_provenance(tmp_path / "one.json", found)
    write_provenance(tmp_path / "two.json", Provenance.model_validate(found))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert read_provenance(tmp_path / "one.json").model_dump(mode="json") == found
    with pytest.raises(WriteError, match="exists already"):
        write_provenance(tmp_path / "one.json", found)


def test_fields_of_a_newer_version_are_no_obstacle(tmp_path):
    found = provenance_of(DESCRIBED, "a.png", sha256="c" * 64)
    path = write_provenance(tmp_path / "a.json", {**found, "weather": "fine"})
    assert read_provenance(path).input.name == "a.png"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, json.dumps({"format": 2}).encode()]
)
def test_other_files_are_no_provenance(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ReadError, match="not a provenance file"):
        read_provenance(path)


def test_missing_and_huge_files(tmp_path):
    with pytest.raises(ReadError, match=r"a\.json: No such file"):
        read_provenance(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b" " * 4_000_001)
    with pytest.raises(ReadError, match="too large"):
        read_provenance(tmp_path / "b.json")


def test_a_folder_has_a_checksum_of_names_and_contents(tmp_path):
    (tmp_path / "a.zarr/0").mkdir(parents=True)
    (tmp_path / "a.zarr/0/0").write_bytes(b"x")
    first = sha256_of(tmp_path / "a.zarr")
    (tmp_path / "a.zarr/0/0").rename(tmp_path / "a.zarr/0/1")
    assert sha256_of(tmp_path / "a.zarr") != first
    with pytest.raises(ReadError):
        sha256_of(tmp_path / "missing")


def test_packages_that_are_absent_are_left_out():
    assert set(package_versions(("no-such-package-here",))) == {"python"}
