import csv
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
import tifffile

import napari_specimen_seg
from fake_model import load, write_model
from napari_specimen_seg import batch
from napari_specimen_seg.cli import main, program
from napari_specimen_seg.core import log
from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.files import read_labels, write_class_map, write_labels
from napari_specimen_seg.core.image import SpecimenLabels

TESTS = Path(__file__).parent
PIXELS = np.array([[0, 10, 20], [200, 250, 0]], np.uint8)


@pytest.fixture(autouse=True)
def log_file(tmp_path, monkeypatch):
    path = tmp_path / "errors.log"
    monkeypatch.setattr(log, "log_path", lambda: path)
    return path


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    for name in ("predict_files", "repeat_files"):
        monkeypatch.setattr(batch, name, functools.partial(getattr(batch, name), load=load), raising=False)


@pytest.fixture
def model(tmp_path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture
def run(capsys):
    def run(*arguments) -> tuple[int, list[str], list[str]]:
        code = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


def picture(path: Path, pixels=PIXELS) -> Path:
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, pixels)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# -- the program ---------------------------------------------------------------------------------------


def test_help_names_every_command_and_loads_none(run):
    code, out, _ = run("--help")
    assert code == 0
    for name in program.list_commands(click.Context(program)):
        assert any(line.split()[:1] == [name] for line in out)


def test_every_command_explains_itself_with_examples(run):
    for name in ("predict", "measure", "models", "repeat"):
        code, out, _ = run(name, "-h")
        assert code == 0
        assert any(line.startswith(f"  {'  '}specimen-seg {name}") for line in out), name


def test_version(run):
    assert run("--version") == (0, [f"specimen-seg {napari_specimen_seg.__version__}"], [])


def test_help_loads_nothing_heavy():
    code = "import sys; from napari_specimen_seg.cli import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & {"numpy", "pydantic", "torch", "pandas", "napari", "tifffile", "tqdm", "qtpy"}


def test_the_module_is_the_program():
    words = [sys.executable, "-m", "napari_specimen_seg", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("specimen-seg ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["predict"],
        ["predict", "x.png", "-o", "out"],
        ["predict", "x.png", "-m", "{model}", "-o", "out", "--tile", "1"],
        ["predict", "x.png", "-m", "{model}", "-o", "out", "--device", "abacus"],
        ["predict", "x.png", "-m", "{model}", "-o", "out", "--pixel-size", "0.1"],
        ["predict", "x.png", "-m", "{model}", "-o", "out", "--unit", "mm"],
        ["predict", "x.png", "-m", "{model}", "-o", "out", "--pixel-size", "-1", "--unit", "mm"],
        ["predict", "x.png", "-m", "{model}", "-o", "out", "--pixel-size", "1", "--unit", "furlong"],
        ["predict", "x.png", "-m", "{model}", "-o", "out", "--scheduler", "tcp://x", "--workers", "2"],
        ["predict", "x.png", "-m", "no-such-model", "-o", "out"],
        ["measure", "x.tif", "-o", "t.csv", "--per", "leg"],
        ["measure", "x.tif", "-o", "t.csv", "--class-map", "absent.json"],
        ["models", "info"],
    ],
)
def test_wrong_usage_is_2(run, model, arguments):
    code, out, err = run(*(a.format(model=model) for a in arguments))
    assert code == 2
    assert out == []
    assert err


# -- predict -------------------------------------------------------------------------------------------


def test_predict_prints_results_to_stdout_and_the_rest_to_stderr(run, tmp_path, model):
    x, out = picture(tmp_path / "a" / "x.tif"), tmp_path / "out"
    assert run("predict", tmp_path / "a", "-m", model, "-o", out) == (0, [f"{out / 'x.tif'}"], [f"[1/1] {x}"])
    code, _, err = run("predict", x, "-m", model, "-o", out)
    assert (code, err) == (0, [f"[1/1] {x}: skipped, it is done already"])


def test_predict_goes_on_after_what_fails_and_exits_with_1(run, tmp_path, model, log_file):
    out = tmp_path / "out"
    for name in ("a", "bug", "full", "z"):
        picture(tmp_path / "in" / f"{name}.tif")
    (tmp_path / "in" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    code, done, err = run("predict", tmp_path / "in" / "*.*", tmp_path / "gone.png", "-m", model, "-o", out)
    assert code == 1
    assert done == [str(out / "a.tif"), str(out / "z.tif")]
    failed = [line for line in err if not line.startswith("[")]
    assert len(failed) == 5
    assert failed[-1] == "2 done, 4 failed"
    for name in ("bug.tif", "full.tif", "cut.png", "gone.png"):
        assert sum(f"{name}: " in line for line in failed) == 1
    assert str(log_file) in next(line for line in failed if "bug.tif" in line)


def test_predict_for_machines_is_one_json_object(run, tmp_path, model):
    picture(tmp_path / "x.tif")
    (tmp_path / "empty.png").touch()
    code, out, _ = run(
        "predict", tmp_path / "x.tif", tmp_path / "empty.png", "-m", model, "-o", tmp_path / "out", "--json"
    )
    answer = json.loads("\n".join(out))
    assert code == 1
    assert answer["counts"] == {"done": 1, "failed": 1}
    (empty, x) = answer["results"]
    assert (empty["status"], x["status"]) == ("failed", "done")
    assert "empty" in empty["message"]
    assert x["outputs"] == [str(tmp_path / "out" / "x.tif"), str(tmp_path / "out" / "x.json")]


def test_pictures_of_one_name_are_kept_apart(run, tmp_path, model):
    for folder, value in (("a", 10), ("b", 200)):
        picture(tmp_path / folder / "x.tif", np.full((2, 2), value, np.uint8))
    code, _, _ = run("predict", tmp_path / "a", tmp_path / "b", "-m", model, "-o", tmp_path / "out")
    assert code == 0
    assert read_labels(tmp_path / "out" / "a_x.tif").data.max() == 1
    assert read_labels(tmp_path / "out" / "b_x.tif").data.max() == 2


def test_results_in_the_folder_of_the_pictures_are_not_taken_for_pictures(run, tmp_path, model):
    folder = tmp_path / "all"
    folder.mkdir()
    from PIL import Image

    Image.fromarray(PIXELS).save(folder / "x.png")
    assert run("predict", folder, "-m", model, "-o", folder)[0] == 0
    code, out, err = run("predict", folder, "-m", model, "-o", folder)
    assert (code, out) == (0, [str(folder / "x.tif")])
    assert err == [f"[1/1] {folder / 'x.png'}: skipped, it is done already"]


def test_predict_takes_the_pixel_size_that_is_given(run, tmp_path, model):
    x, out = picture(tmp_path / "x.tif"), tmp_path / "out"
    run("predict", x, "-m", model, "-o", out, "--pixel-size", "20x10", "--unit", "µm")
    labels = read_labels(out / "x.tif")
    assert (labels.pixel_size_yx, labels.unit) == ((20.0, 10.0), "um")


def test_a_mask_is_repeated_to_the_same_bytes(run, tmp_path, model):
    picture(tmp_path / "x.tif")
    run("predict", tmp_path / "x.tif", "-m", model, "-o", tmp_path / "out", "--confidence", "--instances")
    code, out, _ = run("repeat", tmp_path / "out", "-o", tmp_path / "again")
    assert (code, out) == (0, [str(tmp_path / "again" / "x.tif")])
    for path in (tmp_path / "out").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_hostile_names_work_and_stay_on_one_line(run, tmp_path, model, shared):
    folder = shared / "bad_inputs" / "path"
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    out = tmp_path / "out"
    code, done, err = run("predict", "-m", model, "-o", out, "--confidence", "--", *paths)
    assert code == 0, err
    assert len(done) == len(paths) == len(err) - 1
    assert len(list(out.iterdir())) == 3 * len(paths)
    assert all(line.isprintable() for line in [*done, *err])
    for path in paths:
        assert (out / f"{path.stem}.tif").exists()
    assert run("measure", "-o", tmp_path / "t.csv", "--", *out.glob("*.tif"))[0] == 0


# -- measure -------------------------------------------------------------------------------------------


@pytest.fixture
def masks(run, tmp_path, model) -> Path:
    for name in "xy":
        picture(tmp_path / "in" / f"{name}.tif")
    out = tmp_path / "masks"
    words = ["predict", tmp_path / "in", "-m", model, "-o", out, "--confidence"]
    assert run(*words, "--pixel-size", "0.5", "--unit", "mm")[0] == 0
    return out


def test_measure_has_one_row_per_class_and_picture(run, tmp_path, masks):
    table = tmp_path / "areas.csv"
    code, out, _ = run("measure", masks / "*.tif", "-o", table)
    assert (code, out) == (0, [str(table)])
    rows = rows_of(table)
    assert [(r["image"], r["index"], r["class_name"], r["area"]) for r in rows] == [
        ("x", "1", "dark", "2"),
        ("x", "2", "bright", "2"),
        ("y", "1", "dark", "2"),
        ("y", "2", "bright", "2"),
    ]
    assert [float(r["area_mm2"]) for r in rows] == [0.5] * 4


def test_measure_uses_what_is_given_instead(run, tmp_path, masks):
    table = tmp_path / "areas.csv"
    write_class_map(tmp_path / "names.json", PRESETS["fish-traits"])
    run("measure", masks / "x.tif", "-o", table, "--pixel-size", "3", "--unit", "cm", "--class-map",
        tmp_path / "names.json")  # fmt: skip
    first = rows_of(table)[0]
    assert first["class_name"] == "dorsal fin"
    assert float(first["area_cm2"]) == 18.0
    run("measure", masks / "x.tif", "-o", table, "--unit", "um", "--overwrite")
    assert float(rows_of(table)[0]["area_um2"]) == pytest.approx(500_000)


def test_measure_brings_all_files_to_one_unit(run, tmp_path):
    for name, unit in (("a", "mm"), ("b", "um")):
        write_labels(tmp_path / f"{name}.tif", np.ones((2, 2), np.uint8), PRESETS["specimen"], 1.0, unit)
    run("measure", tmp_path / "a.tif", tmp_path / "b.tif", "-o", tmp_path / "t.csv")
    assert [float(r["area_mm2"]) for r in rows_of(tmp_path / "t.csv")] == pytest.approx([4.0, 4e-6])


def test_measure_finds_the_picture_of_each_mask(run, tmp_path, masks):
    table = tmp_path / "t.csv"
    assert run("measure", masks, "-o", table, "--images", tmp_path / "in")[0] == 0
    means = [float(r["mean_intensity"]) for r in rows_of(table)]
    assert means == [15.0, 225.0] * 2
    (tmp_path / "in" / "y.tif").unlink()
    code, _, err = run("measure", masks, "-o", table, "--images", tmp_path / "in", "--overwrite")
    assert code == 1
    assert sum(f"{masks / 'y.tif'}: its picture was not found" in line for line in err) == 1
    assert {r["image"] for r in rows_of(table)} == {"x"}


def test_measure_per_object_names_the_class_of_each(run, tmp_path, model):
    out = tmp_path / "masks"
    run("predict", picture(tmp_path / "x.tif"), "-m", model, "-o", out, "--instances")
    assert run("measure", out / "x.tif", "-o", tmp_path / "t.csv", "--per", "object")[0] == 0
    rows = rows_of(tmp_path / "t.csv")
    assert [(r["index"], r["class_name"], r["area"]) for r in rows] == [("2", "bright", "4")]


def test_measure_for_machines_holds_the_rows(run, tmp_path, masks):
    code, out, _ = run("measure", masks / "x.tif", "-o", tmp_path / "t.csv", "--json")
    answer = json.loads("\n".join(out))
    assert code == 0
    assert answer["table"] == str(tmp_path / "t.csv")
    assert [(row["class_name"], row["area"]) for row in answer["rows"]] == [("dark", 2), ("bright", 2)]


def test_measure_replaces_no_table_unasked(run, tmp_path, masks):
    table = tmp_path / "t.csv"
    table.write_text("mine")
    code, out, err = run("measure", masks, "-o", table)
    assert (code, out) == (1, [])
    assert err == [f"{table}: it exists already. Choose another name, or allow overwriting with --overwrite."]
    assert table.read_text() == "mine"
    assert run("measure", masks, "-o", table, "--overwrite")[0] == 0


def test_measure_goes_on_after_a_bad_file(run, tmp_path, masks):
    (masks / "z.tif").write_bytes(b"II*\0")
    tifffile.imwrite(masks / "w.tif", np.full((2, 2), 0.5, np.float32))
    code, _, err = run("measure", masks, "-o", tmp_path / "t.csv")
    assert code == 1
    assert [sum(f"{name}: " in line for line in err) for name in ("w.tif", "z.tif")] == [1, 1]
    assert {r["image"] for r in rows_of(tmp_path / "t.csv")} == {"x", "y"}


def test_labels_of_one_name_are_told_apart_in_the_table(run, tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        write_labels(tmp_path / folder / "x.tif", SpecimenLabels(np.ones((2, 2), np.uint8)))
    run("measure", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "t.csv")
    assert [r["image"] for r in rows_of(tmp_path / "t.csv")] == ["a_x", "b_x"]


# -- models --------------------------------------------------------------------------------------------


@pytest.fixture
def own_models(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "own"))
    write_model(tmp_path / "own" / "fake")
    return tmp_path / "own"


def test_models_are_listed(run, own_models):
    code, out, _ = run("models")
    assert code == 0
    assert any(line.startswith("fake  (own, ") for line in out)
    assert "  Tells dark from bright." in out
    assert "  Classes: dark, bright" in out
    answer = json.loads("\n".join(run("models", "--json")[1]))
    (entry,) = (row for row in answer["models"] if row["name"] == "fake")
    assert (entry["path"], entry["license"]) == (str(own_models / "fake"), "CC0-1.0")


def test_a_damaged_model_is_listed_with_what_is_wrong(run, own_models):
    (own_models / "fake" / "card.json").write_text("{", encoding="utf-8")
    code, out, _ = run("models")
    assert code == 1
    assert any("not valid JSON" in line for line in out)


def test_the_card_of_a_model(run, own_models):
    code, out, _ = run("models", "info", "fake")
    assert code == 0
    assert "- 1: dark (#1111ee)" in out
    answer = json.loads("\n".join(run("models", "info", own_models / "fake", "--json")[1]))
    assert answer["card"]["class_map"]["classes"][2]["name"] == "bright"
    code, _, err = run("models", "info", "nothing")
    assert code == 1
    assert len(err) == 1


# -- disks and interruptions: in a process of its own ------------------------------------------------------


def start(*arguments, **options) -> subprocess.Popen:
    words = [sys.executable, str(TESTS / "fake_model.py"), *map(str, arguments)]
    # A test run that was started in the background ignores Ctrl-C, and would hand that down.
    listening = {} if os.name == "nt" else {"preexec_fn": _listen}
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **listening,
        **options,
    )


def _listen() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_until(condition) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never happened")


def is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("how", "workers", "sent"),
    [
        ("slow", 1, signal.SIGINT),
        ("deaf", 1, signal.SIGINT),
        ("slow", 2, signal.SIGINT),
        ("deaf", 2, signal.SIGINT),
        ("slow", 2, signal.SIGTERM),
    ],
)
def test_ctrl_c_stops_at_once_and_keeps_what_is_finished(tmp_path, model, how, workers, sent):
    pictures = [picture(tmp_path / f"{name}.tif") for name in ("a", f"b_{how}", f"c_{how}", "d")]
    out = tmp_path / "out"
    running = start("predict", *pictures, "-m", model, "-o", out, "--workers", workers)
    wait_until((out / "a.json").exists)
    time.sleep(0.5)
    if sent is signal.SIGINT:
        os.killpg(running.pid, sent)  # a terminal tells the whole group
    else:
        running.send_signal(sent)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "Stopped." in err
    assert "Traceback" not in err
    assert (
        {"a.json", "a.tif"} <= {path.name for path in out.iterdir()} <= {"a.json", "a.tif", "d.json", "d.tif"}
    )
    wait_until(lambda: is_gone(running.pid))


def small_disk(folder: Path) -> bool:
    if (
        sys.platform != "linux"
        or not hasattr(os, "geteuid")
        or os.geteuid() != 0
        or not shutil.which("mount")
    ):
        return False
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    return subprocess.run(words, capture_output=True).returncode == 0


def test_a_disk_that_fills_up_is_one_line_per_picture(run, tmp_path, model):
    out = tmp_path / "out"
    out.mkdir()
    if not small_disk(out):
        pytest.skip("no small disk can be made here")
    try:
        noise = np.random.default_rng(0).integers(1, 256, (2048, 2048)).astype(np.uint8)
        small, large = picture(tmp_path / "a.tif"), picture(tmp_path / "b.tif", noise)
        last = picture(tmp_path / "c.tif")
        code, done, err = run("predict", small, large, last, "-m", model, "-o", out)
        assert code == 1
        assert done == [str(out / "a.tif"), str(out / "c.tif")]
        full = f"{large}: {out / 'b.tif'}: the disk is full. Free some space or choose another folder."
        assert full in err
        assert sorted(path.name for path in out.iterdir()) == ["a.json", "a.tif", "c.json", "c.tif"]
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path, model):
    pictures = [picture(tmp_path / f"{i}.tif") for i in range(5)]
    running = start("predict", *pictures, "-m", model, "-o", tmp_path / "out")
    assert running.stdout is not None
    assert running.stdout.readline().endswith("0.tif\n")
    running.stdout.close()
    assert running.stderr is not None
    assert "Traceback" not in running.stderr.read()
    running.stderr.close()
    assert running.wait(60) in (0, 1)


def test_a_terminal_that_lacks_letters_shows_their_codes(tmp_path, model):
    path = picture(tmp_path / "Öhrchen µ.tif")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    running = start("predict", path, "-m", model, "-o", tmp_path / "out", env=environment)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert re.search(r"\\xd6hrchen \\xb5\.tif", out)


def test_which_engine_computes_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    from napari_specimen_seg.cli.console import Console
    from napari_specimen_seg.core.progress import Progress

    with Console(2, as_json=False) as console:
        for _ in range(2):
            console.report(Progress("loading model", 0, 1))
            console.report(Progress("computing with torch on the processor, fp32", 0, 1))
    assert capsys.readouterr().err == "computing with torch on the processor, fp32\n"
