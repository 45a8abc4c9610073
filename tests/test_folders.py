"""Folders of pictures, competition samples, and which files a command means."""

import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_specimen_seg.core.errors import ReadError, SpecimenWarning
from napari_specimen_seg.core.files import folders, lazy
from napari_specimen_seg.core.files.dsb2018 import read_sample, samples_in
from napari_specimen_seg.core.files.images import read_image
from napari_specimen_seg.core.files.inputs import find_inputs, natural_key


def save(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(data, np.uint8)).save(path, format="PNG")
    return path


def fill(folder, *names, value=1):
    for name in names:
        save(folder / name, np.full((3, 4), value))


@pytest.mark.parametrize("is_lazy", [False, True])
def test_pictures_of_one_size_are_a_stack(tmp_path, monkeypatch, is_lazy):
    if is_lazy:
        for module in (folders, lazy):
            monkeypatch.setattr(module, "LAZY_BYTES", 10)
    for number in (1, 2, 10):
        save(tmp_path / f"leaf{number}.png", np.full((3, 4), number))
    image = read_image(tmp_path)
    assert image.axes == "QYX"
    assert np.asarray(image.data)[:, 0, 0].tolist() == [1, 2, 10]
    assert isinstance(image.data, np.ndarray) is not is_lazy


def test_pictures_of_different_sizes(tmp_path):
    save(tmp_path / "a.png", np.ones((3, 4)))
    save(tmp_path / "b.png", np.ones((4, 3)))
    with pytest.raises(ReadError, match="different sizes"):
        read_image(tmp_path)


def test_lazy_stack_says_which_file_has_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "LAZY_BYTES", 10)
    fill(tmp_path, "a.png", "b.png")
    image = read_image(tmp_path)
    save(tmp_path / "b.png", np.ones((5, 5)))
    with pytest.raises(ReadError, match=r"b\.png"):
        image.data.compute()


def test_folder_without_pictures(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ReadError, match="no pictures"):
        read_image(tmp_path)


# -- competition ---------------------------------------------------------------------------------------


def _sample(folder, *masks):
    save(folder / "images" / f"{folder.name}.png", np.zeros((2, 4)))
    for number, mask in enumerate(masks):
        save(folder / "masks" / f"m{number}.png", np.asarray(mask) * 255)
    return folder


def test_masks_become_one_label_picture(tmp_path):
    sample = _sample(tmp_path / "abc", [[1, 1, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 1], [0, 0, 1, 1]])
    image, labels = read_sample(sample)
    assert labels.data.tolist() == [[1, 1, 0, 2], [0, 0, 2, 2]]
    assert labels.data.dtype == np.uint16
    assert image.name == labels.name == "abc"
    assert read_image(sample).data.shape == (2, 4)


def test_masks_that_overlap(tmp_path):
    sample = _sample(tmp_path / "abc", [[1, 1, 0, 0], [0, 0, 0, 0]], [[0, 1, 1, 0], [0, 0, 0, 0]])
    with pytest.warns(SpecimenWarning, match="overlap in 1 pixel"):
        assert read_sample(sample)[1].data.tolist() == [[1, 1, 2, 0], [0, 0, 0, 0]]


def test_mask_of_another_size(tmp_path):
    sample = _sample(tmp_path / "abc", np.ones((3, 3)))
    with pytest.raises(ReadError, match=r"m0\.png.*\(3, 3\).*\(2, 4\)"):
        read_sample(sample)


def test_sample_without_masks(tmp_path):
    assert read_sample(_sample(tmp_path / "abc"))[1] is None


def test_samples_of_a_folder(tmp_path):
    second, first = _sample(tmp_path / "x10"), _sample(tmp_path / "x2")
    fill(tmp_path / "other" / "images", "not_the_name.png")
    assert samples_in(tmp_path) == [first, second]
    assert find_inputs([tmp_path]) == [s / "images" / f"{s.name}.png" for s in (first, second)]


def test_real_samples(shared):
    """The competition's own masks agree with the label pictures that others made from them."""
    for sample in samples_in(shared / "data/dsb2018/original_layout/dev/stage1_train")[:2]:
        image, labels = read_sample(sample)
        masks = list((sample / "masks").iterdir())
        assert labels.data.max() == len(masks)
        assert labels.data.shape == image.data.shape[:2]
        areas = sorted(int((np.asarray(Image.open(mask)) > 0).sum()) for mask in masks)
        assert sorted(np.bincount(labels.data.ravel())[1:].tolist()) == areas


# -- inputs --------------------------------------------------------------------------------------------


def test_folders_patterns_and_files_once_in_natural_order(tmp_path):
    fill(tmp_path, "leaf10.png", "leaf2.png", "leaf1.JPG")
    found = find_inputs([tmp_path, tmp_path / "*.png", str(tmp_path / "leaf2.png")])
    assert [path.name for path in found] == ["leaf1.JPG", "leaf2.png", "leaf10.png"]


def test_folders_leave_out_what_is_not_meant(tmp_path):
    fill(tmp_path, "a.png", ".hidden.png", "Thumbs.db", "desktop.ini", "notes.txt", "~$a.png")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in find_inputs([tmp_path])] == ["a.png"]
    assert [path.name for path in find_inputs([tmp_path / "*"])] == ["a.png"]


def test_files_by_name_are_taken_whatever_they_are_called(tmp_path):
    names = [".hidden.png", "-rf.png", "right\u202egnp.exe", "trailing .png ", "a[1].png"]
    fill(tmp_path, *names)
    assert {path.name for path in find_inputs(tmp_path / name for name in names)} == set(names)


def test_zarr_folders_are_pictures(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / ".zgroup").touch()
    assert find_inputs([tmp_path]) == find_inputs([tmp_path / "a.zarr"]) == [tmp_path / "a.zarr"]
    with pytest.raises(ReadError, match="nothing in this folder"):
        find_inputs([tmp_path], suffixes={".tif"})


@pytest.mark.parametrize("arg", ["missing.png", "missing/*.png", "*.tif"])
def test_what_does_not_exist(tmp_path, arg):
    with pytest.raises(ReadError, match="no such file"):
        find_inputs([tmp_path / arg])


def test_links_to_one_file_are_one_input(tmp_path):
    fill(tmp_path, "a.png")
    if sys.platform == "win32":
        pytest.skip("links need rights there")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert len(find_inputs([tmp_path])) == 1


def test_pipes_are_no_pictures(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes there")
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ReadError, match="not a file"):
        read_image(tmp_path / "a.png")


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_names_can_be_sorted(names):
    from pathlib import PurePosixPath

    assert len(sorted((PurePosixPath(name) for name in names), key=natural_key)) == len(names)
