"""What is kept between runs: it is exactly what was put there, or it is not there."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_specimen_seg.core.errors import WriteError
from napari_specimen_seg.models import kept

KEY = {"engine": "openvino", "sha256": "12", "batch": 1}
PARTS = {"graph": b"<net/>\n", "weights": bytes(range(256)), "empty": b""}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECIMEN_SEG_CACHE", str(tmp_path))
    return tmp_path / "networks"


def _only_file(folder):
    (path,) = folder.iterdir()
    return path


def test_what_is_kept_comes_back():
    assert kept.fetch(KEY) is None
    assert kept.keep(KEY, PARTS)
    assert kept.fetch(KEY) == PARTS
    assert kept.fetch({**KEY, "sha256": "13"}) is None


def test_the_order_of_a_key_does_not_matter():
    kept.keep(KEY, PARTS)
    assert kept.fetch(dict(reversed(KEY.items()))) == PARTS


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_happens_to_the_file_is_noticed(folder, data):
    kept.keep(KEY, PARTS)
    path = _only_file(folder)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    path.write_bytes(content)
    assert kept.fetch(KEY) is None


def test_an_altered_file_is_removed_and_can_be_made_again(folder):
    kept.keep(KEY, PARTS)
    path = _only_file(folder)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert kept.fetch(KEY) is None
    assert not path.exists()
    assert kept.keep(KEY, PARTS)
    assert kept.fetch(KEY) == PARTS


def test_one_key_under_the_name_of_another_is_refused(folder):
    kept.keep(KEY, PARTS)
    path = _only_file(folder)
    other = {**KEY, "batch": 2}
    kept.keep(other, {"weights": b"of another"})
    (second,) = (p for p in folder.iterdir() if p != path)
    second.write_bytes(path.read_bytes())
    assert kept.fetch(other) is None


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"[]\n", b'{"parts": 3}\n', b"[" * 9000, b'{"parts": {"a": -1}}\n']
)
def test_nonsense_is_not_there(folder, content):
    kept.keep(KEY, PARTS)
    _only_file(folder).write_bytes(content)
    assert kept.fetch(KEY) is None


def test_what_was_not_used_for_longest_makes_room(folder, monkeypatch):
    monkeypatch.setattr(kept, "MAX_BYTES", 2600)
    for number, name in enumerate("abc"):
        kept.keep({"name": name}, {"weights": bytes(600)})
        for path in folder.iterdir():  # file systems count time coarsely
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10 * (3 - number)))
    assert kept.fetch({"name": "a"}) is not None  # used just now
    kept.keep({"name": "d"}, {"weights": bytes(600)})
    assert [name for name in "abcd" if kept.fetch({"name": name})] == ["a", "c", "d"]


def test_what_is_too_large_or_cannot_be_written_is_not_kept(folder, monkeypatch):
    monkeypatch.setattr(kept, "MAX_BYTES", 100)
    assert not kept.keep(KEY, PARTS)
    monkeypatch.undo()
    monkeypatch.setenv("SPECIMEN_SEG_CACHE", str(folder / "file"))
    folder.mkdir()
    (folder / "file").write_bytes(b"")
    assert not kept.keep(KEY, PARTS)
    assert kept.fetch(KEY) is None


def test_clearing_tells_how_much_it_was(folder, monkeypatch):
    assert kept.clear() == (0, 0)
    kept.keep(KEY, PARTS)
    size = _only_file(folder).stat().st_size
    (folder / "notes.txt").write_text("not ours")
    assert kept.clear() == (1, size)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_what_cannot_be_removed_is_named(folder, monkeypatch):
    kept.keep(KEY, PARTS)

    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(folder), "unlink", refuse)
    with pytest.raises(WriteError, match="Permission denied"):
        kept.clear()
