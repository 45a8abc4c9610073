"""Labels that are larger than the memory: written by tiles, painted on, continued, saved."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import CancelledError, WriteError
from napari_specimen_seg.core.files import label_store, labels_tiff, read_labels, write_labels
from napari_specimen_seg.core.files.label_store import StoreShape, level_count, open_store
from napari_specimen_seg.core.files.tile_notes import TileKey
from napari_specimen_seg.core.image import SpecimenLabels

WORK = {"model": "nuclei", "picture": "abc"}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(label_store, "CHUNK", 16)
    monkeypatch.setattr(label_store, "COARSEST", 16)


def tile(top, bottom, left, right, plane=()):
    return TileKey(plane, top, bottom, left, right)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 9, (height, width), dtype=np.uint8)


def fill(store, labels, size=20, keys=None):
    """Write labels in tiles that end nowhere where chunks end; return the keys."""
    height, width = labels.shape
    cuts = [
        tile(y, min(y + size, height), x, min(x + size, width))
        for y in range(0, height, size)
        for x in range(0, width, size)
    ]
    for key in cuts if keys is None else keys:
        store.write(key, labels[key.rows, key.columns])
    return cuts


# -- reading and writing ---------------------------------------------------------------------------


def test_tiles_become_all_levels(tmp_path):
    labels = picture(50, 70)
    with open_store(tmp_path / "s.zarr", StoreShape((50, 70)), WORK) as store:
        fill(store, labels)
        assert [level.shape for level in store.levels] == [(50, 70), (25, 35), (13, 18), (7, 9)]
        for number, level in enumerate(store.levels):
            np.testing.assert_array_equal(np.asarray(level), labels[:: 2**number, :: 2**number])
    group = zarr.open_group(str(tmp_path / "s.zarr"), mode="r")
    for number in range(4):  # what is on the disk can be read by others
        np.testing.assert_array_equal(group[str(number)][...], labels[:: 2**number, :: 2**number])
    assert group.attrs["ome"]["multiscales"][0]["datasets"][1]["path"] == "1"


@settings(max_examples=40)
@given(st.data())
def test_any_part_reads_and_writes_like_an_array(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("store") / "s.zarr"
    truth = np.zeros((2, 37, 41), np.uint8)
    with open_store(folder, StoreShape(truth.shape), WORK) as store:
        for value in range(1, 6):
            part = tuple(
                slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))))
                for n in truth.shape
            )
            truth[part] = value
            store.paint(part, value)
            at = tuple(data.draw(st.integers(-n, n - 1)) for n in truth.shape)
            assert store.labels[at] == truth[at]
            np.testing.assert_array_equal(store.labels[part], truth[part])
            np.testing.assert_array_equal(store.labels[at[0], ::3, 5:], truth[at[0], ::3, 5:])
        np.testing.assert_array_equal(store.levels[1][...], truth[:, ::2, ::2])
        np.testing.assert_array_equal(np.asarray(store.labels.as_dask()), truth)


def test_little_memory_is_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(label_store, "CACHE_BYTES", 1000)
    labels = picture(200, 150)
    with open_store(tmp_path / "s.zarr", StoreShape((200, 150)), WORK) as store:
        fill(store, labels)
        np.testing.assert_array_equal(store.labels[:, :], labels)
        assert sum(chunk.values.nbytes for chunk in store.cache._chunks.values()) < 1500


def test_writing_and_painting_at_once_lose_nothing(tmp_path):
    labels = picture(160, 160)
    with open_store(tmp_path / "s.zarr", StoreShape((160, 160)), WORK) as store:

        def paint():
            for row in range(80, 160):
                store.paint((slice(row, row + 1), slice(0, 160)), 7)

        painter = threading.Thread(target=paint)
        painter.start()
        for key in [key for key in fill(store, labels, keys=()) if key.bottom <= 80]:
            store.write(key, labels[key.rows, key.columns])
            store.flush()
        painter.join()
        assert (store.labels[80:] == 7).all()
        np.testing.assert_array_equal(store.labels[:80], labels[:80])


def test_levels_end_when_they_are_small():
    assert [level_count(side, 10) for side in (16, 17, 32, 33, 100)] == [1, 2, 2, 3, 4]


# -- going on --------------------------------------------------------------------------------------


def test_a_store_is_continued_where_it_ended(tmp_path):
    labels = picture(60, 60)
    with open_store(tmp_path / "s.zarr", StoreShape((60, 60), confidence=True), WORK) as store:
        keys = fill(store, labels, keys=())
        sure = np.full((20, 20), 0.5, np.float32)
        for key in keys[:4]:
            store.write(key, labels[key.rows, key.columns], sure)
    with open_store(tmp_path / "s.zarr", StoreShape((60, 60), confidence=True), WORK) as store:
        assert store.continued
        assert store.recover(verify=True) == frozenset(keys[:4])
        assert store.confidence[0, 0] == np.float32(0.5)
        np.testing.assert_array_equal(store.labels[:20], labels[:20])


def test_another_work_begins_anew_and_says_why(tmp_path):
    with open_store(tmp_path / "s.zarr", StoreShape((60, 60)), WORK) as store:
        fill(store, picture(60, 60))
    with open_store(tmp_path / "s.zarr", StoreShape((60, 60)), {**WORK, "model": "other"}) as store:
        assert not store.continued
        assert store.was_different == "model"
        assert not store.finished()
        assert not np.asarray(store.labels).any()


def test_smaller_levels_are_made_again_even_if_that_was_broken_off_once(tmp_path):
    labels = picture(60, 60)
    with open_store(tmp_path / "s.zarr", StoreShape((60, 60)), WORK) as store:
        fill(store, labels)
        store.levels[1][:] = 0
        store.flush()
    (tmp_path / "s.zarr" / "closed").unlink()  # as if the program had been killed

    def stop(progress):
        raise CancelledError

    store = open_store(tmp_path / "s.zarr", StoreShape((60, 60)), WORK)
    with pytest.raises(CancelledError), store:
        store.recover(verify=True, report=stop)
    with open_store(tmp_path / "s.zarr", StoreShape((60, 60)), WORK) as store:
        store.recover(verify=True)
        np.testing.assert_array_equal(store.levels[1][...], labels[::2, ::2])


def test_damage_is_noticed(tmp_path):
    labels = picture(48, 48)
    with open_store(tmp_path / "s.zarr", StoreShape((48, 48)), WORK) as store:
        keys = fill(store, labels, size=16)
    (tmp_path / "s.zarr" / "0" / "c" / "0" / "1").write_bytes(b"half")
    with (tmp_path / "s.zarr" / "finished.jsonl").open("a") as notes:
        notes.write("[[],0,16")  # the power went in the middle of a line
    with open_store(tmp_path / "s.zarr", StoreShape((48, 48)), WORK) as store:
        assert store.recover(verify=True) == frozenset(keys) - {tile(0, 16, 16, 32)}
        store.write(tile(0, 16, 16, 32), labels[:16, 16:32])
    with open_store(tmp_path / "s.zarr", StoreShape((48, 48)), WORK) as store:
        assert store.recover(verify=True) == frozenset(keys)
        np.testing.assert_array_equal(store.labels[...], labels)


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import numpy as np
from napari_specimen_seg.core.files import label_store
from napari_specimen_seg.core.files.label_store import StoreShape, open_store
from test_label_store import WORK, fill, picture
label_store.CHUNK = label_store.COARSEST = 16
label_store.FLUSH_EVERY_S = 0
labels = picture(200, 200)
store = open_store(Path({folder!r}), StoreShape((200, 200)), WORK)
for key in fill(store, labels, keys=()):
    store.write(key, labels[key.rows, key.columns])
    print(key.top, flush=True)
"""


def test_killed_in_the_middle_the_next_run_ends_with_the_same(tmp_path):
    folder = tmp_path / "s.zarr"
    script = KILLED.format(tests=str(Path(__file__).parent), folder=str(folder))
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    for line in child.stdout:
        if line.strip() == "100":
            os.kill(child.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            break
    child.wait()
    child.stdout.close()
    labels = picture(200, 200)
    with open_store(folder, StoreShape((200, 200)), WORK) as store:
        done = store.recover(verify=True)
        keys = fill(store, labels, keys=())
        assert 40 <= len(done) < len(keys)
        fill(store, labels, keys=[key for key in keys if key not in done])
        for number, level in enumerate(store.levels):
            np.testing.assert_array_equal(np.asarray(level), labels[:: 2**number, :: 2**number])


def test_two_programs_do_not_share_a_store(tmp_path):
    with (
        open_store(tmp_path / "s.zarr", StoreShape((9, 9)), WORK),
        pytest.raises(WriteError, match="another program"),
    ):
        open_store(tmp_path / "s.zarr", StoreShape((9, 9)), WORK)


def test_what_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "s.zarr").mkdir()
    (tmp_path / "s.zarr" / "thesis.txt").write_text("years of work")
    with pytest.raises(WriteError, match="something else"):
        open_store(tmp_path / "s.zarr", StoreShape((9, 9)), WORK)
    assert (tmp_path / "s.zarr" / "thesis.txt").read_text() == "years of work"


# -- as TIFF ---------------------------------------------------------------------------------------


def test_large_labels_become_a_tiff_with_a_pyramid(tmp_path, monkeypatch):
    monkeypatch.setattr(labels_tiff, "PYRAMID_PIXELS", 1000)
    monkeypatch.setattr(labels_tiff, "COARSEST", 16)
    monkeypatch.setattr(labels_tiff, "TILE", 16)
    monkeypatch.setattr(labels_tiff, "BAND", 32)
    monkeypatch.setattr(labels_tiff, "CLASSIC_BYTES", 2000)
    labels, class_map = picture(50, 70), PRESETS["beetle-parts"]
    with open_store(tmp_path / "s.zarr", StoreShape((50, 70)), WORK) as store:
        fill(store, labels)
        subject = SpecimenLabels(
            store.labels.as_dask(),
            spacing=(0.5, 0.5),
            unit="um",
            class_map=class_map,
            provenance={"model": {"name": "nuclei"}},
            levels=tuple(level.as_dask() for level in store.levels[1:]),
        )
        write_labels(tmp_path / "stored.tif", subject)
    write_labels(
        tmp_path / "memory.tif", labels, class_map, 0.5, "um", provenance={"model": {"name": "nuclei"}}
    )
    with tifffile.TiffFile(tmp_path / "stored.tif") as file:
        assert file.is_bigtiff
        assert file.pages[0].tile == (16, 16)
        for number, level in enumerate(file.series[0].levels):
            np.testing.assert_array_equal(level.asarray(), labels[:: 2**number, :: 2**number])
        assert number == 3
    found = read_labels(tmp_path / "stored.tif")
    np.testing.assert_array_equal(np.asarray(found.data), labels)
    np.testing.assert_array_equal(np.asarray(found.levels[1]), labels[::4, ::4])
    assert found.class_map == class_map
    assert (found.pixel_size_yx, found.unit) == ((0.5, 0.5), "um")
    assert found.provenance == {"model": {"name": "nuclei"}}
    again = read_labels(tmp_path / "memory.tif")
    np.testing.assert_array_equal(np.asarray(again.data), labels)
    assert found.replace(data=labels).levels == ()
