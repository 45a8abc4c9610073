import errno
import stat
import sys
from pathlib import Path

import pytest

from napari_specimen_seg.core.errors import WriteError
from napari_specimen_seg.core.files.atomic import atomic, remove_unfinished


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def _write_half(target: Path, error: Exception) -> None:
    with atomic(target, overwrite=True) as temporary:
        temporary.write_text("half")
        raise error


def test_file_appears_whole_and_with_its_suffix(tmp_path):
    target = tmp_path / "new" / "areas.csv"
    with atomic(target) as temporary:
        assert temporary.suffix == ".csv"
        assert temporary.parent == target.parent
        temporary.write_text("a")
        assert not target.exists()
    assert target.read_text() == "a"
    assert names(target.parent) == ["areas.csv"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions there")
def test_others_can_read_what_is_written(tmp_path):
    (tmp_path / "plain").touch()
    with atomic(tmp_path / "mask.tif") as temporary:
        temporary.touch()
    assert stat.S_IMODE((tmp_path / "mask.tif").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


def test_existing_is_kept_unless_asked(tmp_path):
    target = tmp_path / "a.tif"
    target.write_text("old")
    with pytest.raises(WriteError, match="exists already"), atomic(target):
        pytest.fail("the block must not run")
    assert target.read_text() == "old"
    with atomic(target, overwrite=True) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_error_leaves_nothing_behind(tmp_path):
    target = tmp_path / "a.tif"
    target.write_text("old")
    with pytest.raises(ValueError, match="half"):
        _write_half(target, ValueError("half"))
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.tif"]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full. Free some space"),
        (errno.EACCES, "writing is not allowed"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_trouble_of_the_disk_is_one_line(tmp_path, number, says):
    target = tmp_path / "a.tif"
    with pytest.raises(WriteError, match=says) as caught:
        _write_half(target, OSError(number, "Input/output error"))
    assert str(caught.value).startswith(str(target))
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_name_that_is_too_long(tmp_path):
    with pytest.raises(WriteError, match="too long"), atomic(tmp_path / ("a" * 300 + ".csv")) as temporary:
        temporary.write_text("a")
    assert names(tmp_path) == []


def test_name_as_long_as_allowed(tmp_path):
    target = tmp_path / ("a" * 251 + ".csv")
    with atomic(target) as temporary:
        temporary.write_text("a")
    assert target.read_text() == "a"


def test_parent_that_is_a_file(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(WriteError, match="a file, not a folder"), atomic(tmp_path / "a" / "b.csv"):
        pytest.fail("the block must not run")


def test_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "old.json").touch()
    with atomic(target, overwrite=True) as temporary:
        temporary.mkdir()
        (temporary / "card.json").touch()
    assert names(target) == ["card.json"]
    assert names(tmp_path) == ["model"]


def test_file_does_not_replace_folder(tmp_path):
    (tmp_path / "out").mkdir()
    with (
        pytest.raises(WriteError, match="a folder of this name"),
        atomic(tmp_path / "out", True) as temporary,
    ):
        temporary.touch()
    assert names(tmp_path) == ["out"]


def test_what_is_being_written_can_be_removed_at_once(tmp_path):
    block = atomic(tmp_path / "mask.tif")
    block.__enter__().write_bytes(b"half")
    remove_unfinished()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(WriteError):
        block.__exit__(None, None, None)
    remove_unfinished()
    assert list(tmp_path.iterdir()) == []
