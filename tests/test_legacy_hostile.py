"""Hostile and broken model files: each is one line, within its bounds, and nothing in it runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "bad_inputs"
FAMILIES = ("model_ok", "model_rce", "model_dos", "model_broken", "model_semantic", "safetensors", "bundle")

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the hostile files are not beside this checkout")

ITEMS = (
    [
        item
        for item in json.loads((SHARED / "manifest.json").read_text("utf-8"))["items"]
        if item["path"].split("/")[0] in FAMILIES
    ]
    if SHARED.is_dir()
    else []
)


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """Open all of them in a program of its own, in which Python itself reports what happens."""
    place = tmp_path_factory.mktemp("hostile")
    for name in ("canary", "out", "home", "tmp"):
        (place / name).mkdir()
    environment = {
        **os.environ,
        "BAD_CANARY_DIR": str(place / "canary"),
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
    }
    script = Path(__file__).with_name("legacy_audit.py")
    done = subprocess.run(
        [sys.executable, "-B", script, SHARED, place / "out"],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    left = [path for path in place.rglob("*") if path.is_file()]
    return {entry["id"]: entry for entry in json.loads(done.stdout)}, left


def test_no_file_is_left_anywhere(audited):
    assert audited[1] == []


@pytest.mark.parametrize("item", ITEMS, ids=[item["id"] for item in ITEMS])
def test_nothing_in_it_runs(audited, item):
    entry = audited[0][item["id"]]

    # No import, no process, no socket, no other file: Python saw none of it.
    assert entry["events"] == []
    assert entry["kind"] not in ("crash", "imported")
    assert "\n" not in entry["answer"]
    assert Path(item["path"]).name in entry["answer"]
    assert not entry["torch"]
    assert entry["seconds"] < item["max_s"]
    assert entry["megabytes"] < item["max_mb"]


NAMED = [i for i in ITEMS if i["threat"] == "rce" and i["path"].endswith((".zip.pth", ".raw.pth"))]


@pytest.mark.parametrize("item", NAMED, ids=[item["id"] for item in NAMED])
def test_the_call_is_named(audited, item):
    assert "refused: opening it would call" in audited[0][item["id"]]["answer"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model_broken/bitflip_in_weights.pth", "CRC"),
        ("model_semantic/two_models.pth", "--part (generator, teacher)"),
        ("model_semantic/transposed.pth", "transposed"),
        ("model_semantic/keys_with_slashes.pth", "no network has"),
        ("model_ok/state_dict_zip.pth", "--encoder"),
        ("model_rce/unicode_homoglyph_module.raw.pth", "\\u043e\\u0455.system"),
        ("model_dos/deflate_bomb_data_pkl.pth", "unpacks to far more"),
        ("bundle/ok.zip", "Unpack it and import weights.safetensors"),
    ],
)
def test_what_is_wrong_is_said(audited, name, words):
    assert words in audited[0][name]["answer"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model_semantic/in_channels_17.pth", "17 channels"),
        ("safetensors/meta_csv_injection.safetensors", "other programs may act upon"),
    ],
)
def test_what_is_odd_is_warned_of(audited, name, words):
    assert any(words in line for line in audited[0][name]["warnings"])


def test_the_control_can_be_inspected(capsys):
    from napari_specimen_seg.cli import main

    assert main(["models", "inspect", str(SHARED / "model_ok" / "state_dict_zip.pth")]) == 0
    assert "Unet" in capsys.readouterr().out
