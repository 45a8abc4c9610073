"""Colours to class ids and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from napari_specimen_seg.core import color_masks
from napari_specimen_seg.core.classes import PRESETS, ClassMap, LabelClass
from napari_specimen_seg.core.color_masks import decode_colors, encode_colors
from napari_specimen_seg.core.errors import ClassMapError

MAP = ClassMap(
    classes=(
        LabelClass(id=0, name="background", color="#000000"),
        LabelClass(id=300, name="wing", color="#ff0000"),
        LabelClass(id=2, name="leg", color="#0000ff"),
    )
)


def picture(*rows):
    return np.array(
        [[[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in row.split()] for row in rows], np.uint8
    )


def test_exact_colours():
    labels, share = decode_colors(picture("000000 ff0000", "0000ff ff0000"), MAP)
    assert labels.tolist() == [[0, 300], [2, 300]]
    assert labels.dtype == np.uint16
    assert share == 0


def test_other_colours_are_counted_and_named():
    rgb = picture("000000 ff0001 ff0001 123456", "00ff00 00ff01 0000ff ff0000")
    with pytest.raises(ClassMapError) as caught:
        decode_colors(rgb, MAP)
    assert str(caught.value) == (
        "5 pixels have colours that the class map does not have: #ff0001, #00ff00, #00ff01 and 1 more. "
        "Add them to the class map, or decode by the nearest colour."
    )


def test_nearest_colours():
    labels, share = decode_colors(picture("100000 800000 ff0001 2000f0"), MAP, nearest=True)
    assert labels.tolist() == [[0, 300, 300, 2]]
    assert share == 1


def test_of_two_equally_near_the_first_wins():
    assert decode_colors(picture("800080"), MAP, nearest=True)[0].tolist() == [[300]]


def test_transparent_pixels_are_background():
    rgba = np.concatenate([picture("ff0000 123456 0000ff"), np.array([[[255], [0], [0]]], np.uint8)], -1)
    labels, share = decode_colors(rgba, MAP)
    assert labels.tolist() == [[300, 0, 0]]
    assert share == 0


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.uint16), np.zeros((2, 2, 2))]
)
def test_only_8_bit_colour_pictures_are_decoded(wrong):
    with pytest.raises(ClassMapError, match="no 8-bit colour picture"):
        decode_colors(wrong, MAP)


@pytest.mark.parametrize("stranger", [1, 301, 70000, -1])
def test_ids_without_a_colour_are_not_painted(stranger):
    with pytest.raises(ClassMapError, match=f"no colour for label {stranger}"):
        encode_colors(np.array([[0, 2, stranger]]), MAP)


@given(
    arrays(np.uint16, st.tuples(st.integers(0, 6), st.integers(0, 6)), elements=st.sampled_from([0, 2, 300]))
)
def test_round_trip(labels):
    decoded, share = decode_colors(encode_colors(labels, MAP), MAP)
    assert (decoded == labels).all()
    assert share == 0


def test_blocks_change_nothing(monkeypatch):
    labels = np.random.default_rng(0).choice([0, 2, 300], (50, 7))
    monkeypatch.setattr(color_masks, "_BLOCK_PIXELS", 21)
    assert (decode_colors(encode_colors(labels, MAP), MAP)[0] == labels).all()


def test_fish_masks(shared):
    folder = shared / "data/fish_bgnn"
    for path in sorted((folder / "dev/masks_rgb").glob("*.png")):
        labels, share = decode_colors(np.asarray(Image.open(path)), PRESETS["fish-traits"])
        assert (labels == np.asarray(Image.open(folder / "dev/labels" / path.name))).all()
        assert share == 0
    soft = np.asarray(Image.open(folder / "masks_only/dev/INHS_142865_antialiased_1101_colours.png"))
    with pytest.raises(ClassMapError, match=r"3844 pixels have colours .* and 1088 more"):
        decode_colors(soft, PRESETS["fish-traits"])
    labels, share = decode_colors(soft, PRESETS["fish-traits"], nearest=True)
    assert share == 3844 / labels.size


def test_beetle_masks(shared):
    import json

    folder = shared / "data/beetles9"
    class_map = ClassMap.parse(json.loads((folder / "classes.json").read_text()))
    for path in sorted((folder / "val/masks_rgb").glob("*.png")):
        labels, share = decode_colors(np.asarray(Image.open(path)), class_map)
        assert (labels == np.asarray(Image.open(folder / "val/labels" / path.name))).all()
        assert share == 0
