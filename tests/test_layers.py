"""Pictures and labels as napari layers."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.image import COLORS, SpecimenImage, SpecimenLabels
from napari_specimen_seg.plugin.layers import class_colormap, image_layers, label_features, labels_layer

PARTS = PRESETS["beetle-parts"]


@pytest.fixture
def add():
    viewer = ViewerModel()

    def _add(*layers):
        return [layer for data in layers for layer in viewer._add_layer_from_data(*data)]

    return _add


def test_colour_picture(add):
    image = SpecimenImage(np.zeros((4, 5, 3), np.uint8), "sheet", "YXC", (0.5, 0.25), "mm", bit_depth=None)
    (layer,) = add(*image_layers(image))
    assert isinstance(layer, Image)
    assert layer.rgb
    assert layer.name == "sheet"
    assert layer.scale.tolist() == [0.5, 0.25]
    assert [str(unit) for unit in layer.units] == ["millimeter", "millimeter"]
    assert layer.axis_labels == ("y", "x")


def test_stack_without_known_size(add):
    (layer,) = add(*image_layers(SpecimenImage(np.zeros((3, 4, 5), np.uint16), axes="ZYX", bit_depth=12)))
    assert layer.scale.tolist() == [1, 1, 1]
    assert [str(unit) for unit in layer.units] == ["pixel"] * 3
    assert layer.metadata["bit_depth"] == 12


def test_stains_are_layers_of_their_own(add):
    data = np.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3)
    image = SpecimenImage(data, "cells", "ZYXC", (2, 1, 1), "um", channel_names=("DAPI", "GFP", ""))
    layers = add(*image_layers(image))
    assert [layer.name for layer in layers] == ["cells DAPI", "cells GFP", "cells channel 3"]
    assert [layer.blending for layer in layers] == ["additive"] * 3
    assert len({layer.colormap.name for layer in layers}) == 3
    for channel, layer in enumerate(layers):
        np.testing.assert_array_equal(layer.data, data[..., channel])
        assert layer.scale.tolist() == [2, 1, 1]
        assert layer.metadata["channel"] == channel


@pytest.mark.parametrize("names", [(), (*COLORS, "alpha")])
def test_four_channels_of_colour_are_one_layer(add, names):
    (layer,) = add(
        *image_layers(SpecimenImage(np.zeros((4, 5, 4), np.uint8), axes="YXC", channel_names=names))
    )
    assert layer.rgb


def test_pyramid(add):
    image = SpecimenImage(np.zeros((8, 8), np.uint8), levels=(np.zeros((4, 4), np.uint8),))
    (layer,) = add(*image_layers(image))
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [(8, 8), (4, 4)]


def test_number_of_a_picture_is_no_length(add):
    image = SpecimenImage(np.zeros((3, 4, 5), np.uint8), "folder", "QYX", (1, 0.1, 0.1), "mm")
    (layer,) = add(*image_layers(image))
    assert [str(unit) for unit in layer.units] == ["pixel", "millimeter", "millimeter"]


def test_labels_know_their_classes(add):
    labels = SpecimenLabels(
        np.array([[0, 1], [9, 77]], np.uint8), "sheet", spacing=(0.1, 0.1), unit="mm", class_map=PARTS
    )
    (layer,) = add(labels_layer(labels))
    assert isinstance(layer, Labels)
    assert layer.features["index"].tolist() == list(range(10))
    assert layer.get_status((0.0, 0.1), world=True)["value"] == "1; class_name: head"
    assert layer.get_status((0.1, 0.0), world=True)["value"] == "9; class_name: pin"
    assert layer.get_color(1) == pytest.approx([*(v / 255 for v in PARTS.by_id(1).rgb), 1])
    assert layer.get_color(0) is None
    assert layer.get_color(77)[-1] == 1
    assert layer.metadata["class_map"] == PARTS


def test_painting_an_id_without_class(add):
    (layer,) = add(labels_layer(SpecimenLabels(np.zeros((9, 9), np.uint8), class_map=PARTS)))
    layer.selected_label = 200
    layer.paint((4, 4), 200)
    assert layer.data[4, 4] == 200
    assert layer.get_color(200)[-1] == 1
    layer.undo()
    assert not layer.data.any()


def test_colours_of_classes_differ_from_that_of_none():
    for preset in PRESETS.values():
        colors = class_colormap(preset).color_dict
        assert len({tuple(color.tolist()) for color in colors.values()}) == len(preset) + 1
        assert colors[0].tolist() == [0, 0, 0, 0]


def test_objects_tell_their_class(add):
    labels = SpecimenLabels(
        np.array([[0, 1], [2, 3]], np.uint32), class_map=PARTS, object_class=np.array([0, 5, 5, 9])
    )
    (layer,) = add(labels_layer(labels))
    assert layer.features["class_name"].tolist() == ["background", "elytra", "elytra", "pin"]
    assert layer.get_status((1, 1), world=True)["value"] == "3; class_name: pin"
    assert len({tuple(layer.get_color(i)) for i in (1, 2, 3)}) == 3


def test_features_of_the_file_are_kept():
    labels = SpecimenLabels(
        np.zeros((2, 2), np.uint8), class_map=PARTS, features={"area": [3.0, 4.0], "index": [5, 1]}
    )
    table = label_features(labels)
    assert table.columns.tolist() == ["index", "class_name", "area"]
    assert table["class_name"].tolist() == ["elytra", "head"]


def test_labels_of_which_nothing_is_known(add):
    labels = SpecimenLabels(np.array([[True, False]]))
    assert label_features(labels) is None
    (layer,) = add(labels_layer(labels))
    assert layer.data.tolist() == [[1, 0]]
