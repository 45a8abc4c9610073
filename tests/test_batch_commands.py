"""A command line that a dock shows must mean, to the command line itself, exactly what the dock does."""

import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_specimen_seg.batch import measure_command, predict_command
from napari_specimen_seg.batch.commands import quoted
from napari_specimen_seg.cli import measure, predict, program
from napari_specimen_seg.models.settings import PredictSettings

NAMES = st.text(
    st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=20
)
SIZES = st.floats(1e-9, 1e9)

SETTINGS = st.builds(
    PredictSettings,
    device=st.sampled_from(["auto", "cpu", "cuda", "mps"]),
    backend=st.sampled_from(["auto", "torch", "openvino"]),
    precision=st.sampled_from(["auto", "fp32", "bf16", "int8"]),
    tile=st.none() | st.integers(64, 8192),
    threshold=st.none() | st.floats(0, 1, exclude_min=True, exclude_max=True),
    confidence=st.booleans(),
    instances=st.booleans(),
)


def parsed(command, line: str) -> dict:
    words = shlex.split(line)
    assert words[:2] == ["specimen-seg", command.name]
    parent = click.Context(program, **program.context_settings)
    return command.make_context(command.name, words[2:], parent=parent).params


@given(
    st.lists(NAMES, min_size=1, max_size=3),
    NAMES,
    NAMES,
    SETTINGS,
    st.none() | SIZES | st.tuples(SIZES, SIZES),
    st.integers(1, 64),
    st.booleans(),
)
def test_predict_reads_back_what_was_meant(pictures, model, output, settings, size, workers, overwrite):
    unit = None if size is None else "um"
    line = predict_command(
        pictures,
        model,
        Path(output),
        settings,
        pixel_size=size,
        unit=unit,
        workers=workers,
        overwrite=overwrite,
    )
    found = parsed(predict.command, line)
    assert PredictSettings(**{name: found[name] for name in PredictSettings.model_fields}) == settings
    assert found["inputs"] == tuple(pictures)
    assert (found["model"], found["output"]) == (model, Path(output))
    assert (found["pixel_size"], found["unit"]) == (size, unit)
    assert (found["workers"], found["overwrite"]) == (workers, overwrite)


@given(
    st.lists(NAMES, min_size=1, max_size=3),
    NAMES.filter(lambda name: not Path(name).is_dir()),  # "/" and "." are refused for a table
    st.sampled_from(["class", "object", "specimen"]),
    st.none() | SIZES,
    st.sampled_from(["nm", "um", "mm", "cm", "m", "inch"]),
    st.booleans(),
)
def test_measure_reads_back_what_was_meant(labels, output, per, size, unit, overwrite):
    line = measure_command(labels, output, per=per, pixel_size=size, unit=unit, overwrite=overwrite)
    found = parsed(measure.command, line)
    assert found["inputs"] == tuple(labels)
    assert (found["output"], found["per"], found["overwrite"]) == (Path(output), per, overwrite)
    assert (found["pixel_size"], found["unit"]) == ((None, None) if size is None else (size, unit))


def test_folders_and_files_that_measure_needs_are_named(tmp_path):
    classes = tmp_path / "my classes.json"
    classes.touch()
    line = measure_command(["a.tif"], "out.csv", images=tmp_path, class_map=classes)
    found = parsed(measure.command, line)
    assert (found["images"], found["class_map"]) == (tmp_path, classes)


def test_only_what_differs_from_the_defaults_is_spelled_out():
    line = predict_command(["leaf 1.png"], "beetle-parts", "out", PredictSettings(tile=256, confidence=True))
    expected = "specimen-seg predict --model beetle-parts --output out --tile 256 --confidence 'leaf 1.png'"
    if sys.platform != "win32":
        assert line == expected


def test_names_that_look_like_options_stay_names():
    line = quoted(shlex.split(predict_command(["-rf.png", "x.png"], "-m", "-o")), windows=False)
    assert line == "specimen-seg predict --model=-m --output=-o -- -rf.png x.png"


def test_windows_gets_its_own_quotes():
    words = ["specimen-seg", "predict", "C:\\my pictures\\x.png", 'say "hello".png', "it's.png"]
    line = quoted(words, windows=True)
    assert line == subprocess.list2cmdline(words)
    assert '"C:\\my pictures\\x.png"' in line


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_real_shell_takes_it_apart_the_same():
    names = ["new\nline.png", "%s%n{0}.png", "$HOME `ls` \"quotes\" 'x'.png", "trailing .png ", "*?[a].png"]
    line = predict_command(names, "m", "o")
    script = f"set -- {line}; shift 6; printf '%s\\0' \"$@\""
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == names
