import errno

import pytest

from napari_specimen_seg.core import log
from napari_specimen_seg.core.errors import DeviceError, ImageError, ReadError, WriteError
from napari_specimen_seg.core.log import as_specimen_error


@pytest.fixture(autouse=True)
def log_file(tmp_path, monkeypatch):
    path = tmp_path / "logs" / "errors.log"
    monkeypatch.setattr(log, "log_path", lambda: path)
    return path


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ImageError("x: the picture is empty"), "a/x.png: the picture is empty"),
        (ReadError("cut short", path="b.png", advice="Copy it."), "b.png: cut short. Copy it."),
        (MemoryError(), "a/x.png: it needs more memory than this machine has free. Close"),
        (RuntimeError("CUDA out of memory. Tried 2 GiB"), "a/x.png: the memory of the device is full. Use"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "a/x.png: the memory of the device is"),
        (OSError(errno.ENOSPC, "No space left on device", "out/x.tif"), "out/x.tif: the disk is full. Free"),
        (PermissionError(errno.EACCES, "Permission denied"), "a/x.png: Permission denied"),
    ],
)
def test_whatever_goes_wrong_becomes_one_line_with_file_and_cause(error, line, log_file):
    assert str(as_specimen_error(error, "a/x.png")).startswith(line)
    assert not log_file.exists()


def test_kinds_stay_tellable():
    assert isinstance(as_specimen_error(OSError(errno.ENOSPC, "full"), "x"), WriteError)
    assert isinstance(as_specimen_error(RuntimeError("out of memory"), "x"), DeviceError)


def test_what_nobody_foresaw_is_one_line_and_a_traceback_in_the_log(log_file):
    try:
        raise KeyError("a\nb")
    except KeyError as error:
        line = str(as_specimen_error(error, "x\n.png"))
    assert "\n" not in line
    assert line.startswith("x .png: unexpected error (KeyError:")
    assert str(log_file) in line
    entry = log_file.read_text("utf-8")
    assert "Traceback (most recent call last)" in entry
    assert "'x\\n.png'" in entry


def test_a_log_that_is_long_is_put_aside(log_file, monkeypatch):
    monkeypatch.setattr(log, "MAX_LOG_BYTES", 10)
    for text in ("first", "second", "third"):
        log.write_log(ValueError(text))
    assert "third" in log_file.read_text("utf-8")
    assert "second" in log_file.with_suffix(".old.log").read_text("utf-8")


def test_a_log_that_cannot_be_written_hides_nothing(log_file):
    log_file.parent.write_text("a file where the folder should be")
    assert "ValueError: x" in str(as_specimen_error(ValueError("x"), "a.png"))
