"""The parts of training that have answers: pairs, splits, losses, schedule, augmentation, order."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from napari_specimen_seg.core.classes import PRESETS, ClassMap
from napari_specimen_seg.core.errors import ReadError, SpecimenError
from napari_specimen_seg.training.config import AugmentSettings, DataSettings, LearnSettings, TrainConfig
from napari_specimen_seg.training.pair import Pair
from napari_specimen_seg.training.pairs import find_pairs
from napari_specimen_seg.training.recipes import RECIPES
from napari_specimen_seg.training.schedule import factor, group_rates, phase_at, phases_of
from napari_specimen_seg.training.split import split_pairs

torch = pytest.importorskip("torch")


def save(path, value=0, size=(4, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)


# -- settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_survive_toml(name, tmp_path):
    path = tmp_path / "train.toml"
    path.write_text(RECIPES[name].to_toml(), encoding="utf-8")
    assert TrainConfig.from_toml(path) == RECIPES[name]


def test_what_was_taken_from_a_recipe_does_not_come_back(tmp_path):
    path = tmp_path / "train.toml"
    config = RECIPES["herbarium"].changed({"augment": {"crop": None}, "learn": {"discriminative": None}})
    path.write_text(config.to_toml(), encoding="utf-8")
    assert TrainConfig.from_toml(path) == config


def test_strokes_on_the_background_are_background(tmp_path):
    from napari_specimen_seg.core.classes import ClassMap
    from napari_specimen_seg.training.dataset import read_target
    from napari_specimen_seg.training.losses import IGNORE

    path = tmp_path / "strokes.png"
    Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8)).save(path)
    data = DataSettings(ignore_id=0, background_id=2)
    target = read_target(Pair("a", path, (path,)), data, ClassMap.of_ids([1]), (2, 2))
    assert target.tolist() == [[IGNORE, 1], [0, IGNORE]]


def test_a_settings_file_may_name_a_recipe_and_change_a_little(tmp_path):
    path = tmp_path / "train.toml"
    path.write_text('recipe = "embryo-gray"\n[learn]\nepochs = 3\n', encoding="utf-8")
    config = TrainConfig.from_toml(path)
    assert config.learn.epochs == 3
    assert config.input == RECIPES["embryo-gray"].input


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[learn]\nepochs = 0", "learn.epochs"),
        ("[learn]\nepoch = 3", "learn.epoch"),
        ("[learn\n", "not valid TOML"),
        ("[learn]\nfreeze_encoder = true\nfrozen_epochs = 2", "no meaning"),
    ],
)
def test_settings_that_cannot_be_meant_are_one_line(tmp_path, text, words):
    path = tmp_path / "train.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match=words) as caught:
        TrainConfig.from_toml(path)
    assert "train.toml: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_numbers_of_the_earlier_systems():
    fish, herbarium = RECIPES["fish-traits"], RECIPES["herbarium"]
    assert (fish.input.geometry.height, fish.input.geometry.width) == (320, 800)
    assert (fish.learn.lr, fish.learn.epochs, fish.learn.freeze_encoder) == (1e-4, 120, True)
    assert herbarium.learn.discriminative == (400, 4)
    assert herbarium.augment.crop == (0.25, 0.9)
    assert RECIPES["embryo-gray"].input.channels == "gray"
    assert RECIPES["balanced"].augment.erase == 0.358
    assert RECIPES["nuclei-unet"].learn.threshold == 0.4


# -- pairs and splits --------------------------------------------------------------------------------


def test_masks_are_found_by_stem_and_by_ending(tmp_path):
    save(tmp_path / "images" / "a.png")
    save(tmp_path / "images" / "b.jpg")
    save(tmp_path / "images" / "lonely.png")
    save(tmp_path / "labels" / "a.png")
    save(tmp_path / "labels" / "b_mask.png")
    save(tmp_path / "labels" / "stray.png")
    found = find_pairs(DataSettings(images=tmp_path / "images", labels=tmp_path / "labels"))
    assert [(p.name, p.masks[0].name) for p in found.pairs] == [("a", "a.png"), ("b", "b_mask.png")]
    assert sorted((p.name, why) for p, why in found.problems) == [
        ("lonely.png", "has no mask"),
        ("stray.png", "is a mask without a picture"),
    ]


def test_pictures_and_masks_may_share_a_folder(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "a_mask.png")
    found = find_pairs(DataSettings(images=tmp_path))
    assert [(p.picture.name, p.masks[0].name) for p in found.pairs] == [("a.png", "a_mask.png")]
    assert found.problems == []


def test_doubly_matched_pictures_are_never_paired_at_random(tmp_path):
    save(tmp_path / "images" / "a.png")
    save(tmp_path / "images" / "b.png")
    for name in ("a.png", "a_mask.png", "b.png"):
        save(tmp_path / "labels" / name)
    found = find_pairs(DataSettings(images=tmp_path / "images", labels=tmp_path / "labels"))
    assert [p.name for p in found.pairs] == ["b"]
    assert "has 2 masks" in found.problems[0][1]


def test_the_competitions_layout_is_recognised(tmp_path):
    save(tmp_path / "id1" / "images" / "id1.png")
    save(tmp_path / "id1" / "masks" / "x.png")
    save(tmp_path / "id1" / "masks" / "y.png")
    found = find_pairs(DataSettings(images=tmp_path))
    assert [(p.name, len(p.masks)) for p in found.pairs] == [("id1", 2)]


def test_a_list_of_pairs_names_what_is_gone(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "m.png")
    (tmp_path / "list.csv").write_text("image,labels\na.png,m.png\ngone.png,m.png\n")
    found = find_pairs(DataSettings(images=tmp_path / "list.csv"))
    assert [p.name for p in found.pairs] == ["a"]
    assert found.problems[0][0].name == "gone.png"


def test_coco_polygons_and_run_lengths_are_painted(tmp_path):
    from napari_specimen_seg.training.coco import categories_of, paint

    save(tmp_path / "a.png", size=(4, 5))
    content = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 3, "name": "leaf"}, {"id": 9, "name": "fruit"}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "segmentation": [[0, 0, 5, 0, 5, 2, 0, 2]]},
            {
                "image_id": 7,
                "category_id": 9,
                "iscrowd": 1,
                "segmentation": {"size": [4, 5], "counts": [1, 2, 17]},
            },
        ],
    }
    (tmp_path / "c.json").write_text(json.dumps(content))
    found = find_pairs(DataSettings(images=tmp_path, labels=tmp_path / "c.json"))
    assert categories_of(tmp_path / "c.json").name_of(2) == "fruit"
    assert paint(found.pairs[0].regions, 4, 5).tolist() == [
        [1, 1, 1, 1, 1],
        [2, 1, 1, 1, 1],
        [2, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    with pytest.raises(ReadError, match="do not fit"):
        paint(((1, {"size": [4, 5], "counts": [1, 2]}),), 4, 5)


def pairs(*names):
    return [Pair(name, __import__("pathlib").Path(f"{name}.png")) for name in names]


def test_groups_never_straddle_the_split():
    data = DataSettings(split="group", group=r"(.*)_\d", validation_share=0.3)
    names = [f"s{i}_{j}" for i in range(10) for j in range(3)]
    learn, validate = split_pairs(pairs(*names), data, seed=3)
    assert len(learn) + len(validate) == 30
    assert 6 <= len(validate) <= 12
    assert {p.name[:2] for p in learn} & {p.name[:2] for p in validate} == set()
    assert split_pairs(pairs(*names), data, seed=3) == (learn, validate)


def test_a_column_may_say_what_is_kept_for_validation(tmp_path):
    (tmp_path / "m.csv").write_text("CatBarcode,valid_set_equals_1\na,0\nb,1\nc,0\n")
    data = DataSettings(split="column", metadata=tmp_path / "m.csv")
    learn, validate = split_pairs(pairs("a", "b", "c"), data, 0)
    assert ([p.name for p in learn], [p.name for p in validate]) == (["a", "c"], ["b"])
    with pytest.raises(ReadError, match="has no row for d"):
        split_pairs(pairs("a", "d"), data, 0)


def test_a_split_that_leaves_nothing_is_refused():
    with pytest.raises(ReadError, match="0 pictures to learn from"):
        split_pairs(pairs("a"), DataSettings(), 0)


# -- schedule ----------------------------------------------------------------------------------------


def test_two_stages_with_discriminative_rates():
    learn = LearnSettings(frozen_epochs=2, epochs=3, lr=0.4, discriminative=(400, 4))
    frozen, free = phases_of(learn)
    assert (frozen.first_epoch, frozen.epochs, frozen.frozen) == (0, 2, True)
    assert (free.first_epoch, free.epochs, free.frozen) == (2, 3, False)
    assert [phase_at((frozen, free), e) is frozen for e in (0, 1, 2, 9)] == [True, True, False, False]
    assert group_rates(learn, 3, frozen) == [0.4] * 3
    np.testing.assert_allclose(group_rates(learn, 3, free), [0.001, 0.01, 0.1])


def test_one_cycle_goes_up_and_down():
    values = [factor("one_cycle", x) for x in (0, 0.25, 1)]
    np.testing.assert_allclose(values, [1 / 25, 1, 1e-5])
    assert factor("cosine", 0.5) == pytest.approx(0.5)
    assert factor("constant", 0.7) == 1


# -- losses ------------------------------------------------------------------------------------------


def losses(terms, head):
    from napari_specimen_seg.training.losses import SumOfLosses

    return SumOfLosses(terms, head)


def test_losses_of_a_tiny_picture_written_out():
    logits = torch.tensor([[[[0.0, 100.0, -100.0]]]])
    target = torch.tensor([[[1, 1, -1]]])
    # two labelled pixels: chance 0.5 and 1; the third is not looked at
    assert float(losses({"cross_entropy": 1}, "binary")(logits, target)) == pytest.approx(math.log(2) / 2)
    assert float(losses({"dice": 1}, "binary")(logits, target)) == pytest.approx(1 - 2.5 / (1.5 + 0.25 + 1))
    assert float(losses({"jaccard": 1}, "binary")(logits, target)) == pytest.approx(1 - 2.5 / 3)
    focal = float(losses({"focal": 1}, "binary")(logits, target))
    assert focal == pytest.approx(0.25 * math.log(2) / 2)


@pytest.mark.parametrize("name", ["dice", "jaccard", "cross_entropy", "focal", "lovasz", "tversky"])
@pytest.mark.parametrize("head", ["softmax", "sigmoid", "binary"])
def test_every_loss_falls_when_learned_and_ignores_what_is_not_labelled(name, head):
    torch.manual_seed(0)
    channels = {"softmax": 3, "sigmoid": 2, "binary": 1}[head]
    target = torch.randint(0, 2 if head == "binary" else 3, (2, 6, 6))
    target[:, :2] = -1
    logits = torch.zeros(2, channels, 6, 6, requires_grad=True)
    loss = losses({name: 1.0}, head)
    first = loss(logits, target)
    first.backward()
    assert float(logits.grad[:, :, :2].abs().sum()) == 0
    assert float(logits.grad.abs().sum()) > 0
    with torch.no_grad():
        better = logits - 5 * logits.grad / logits.grad.abs().max()
    assert float(loss(better, target)) < float(first.detach())


def test_nothing_labelled_is_no_loss_but_has_a_gradient():
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    loss = losses({"dice": 1, "cross_entropy": 1}, "binary")(logits, torch.full((1, 2, 2), -1))
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(logits.grad.abs().sum()) == 0


def test_batch_norms_are_measured_for_the_weights_that_there_are():
    from napari_specimen_seg.training.batch_norms import settle

    learns, frozen = torch.nn.BatchNorm2d(1).eval(), torch.nn.BatchNorm2d(1).eval()
    frozen.requires_grad_(False)
    learns.num_batches_tracked.fill_(7)
    network = torch.nn.Sequential(learns, frozen)
    batches = [torch.tensor([a, b])[:, None, None, None] for a, b in ((0.0, 2.0), (4.0, 8.0))]
    settle(network, map(network, batches))
    assert float(learns.running_mean) == pytest.approx((1 + 6) / 2)
    assert float(learns.running_var) == pytest.approx((2 + 8) / 2)
    assert (learns.training, learns.momentum, int(learns.num_batches_tracked)) == (False, 0.1, 7)
    assert (float(frozen.running_mean), float(frozen.running_var)) == (0, 1)


def test_a_pixel_of_a_rare_class_is_picked_as_if_all_had_been_listed():
    from napari_specimen_seg.training.rare import RarePixels

    target = np.random.default_rng(0).integers(0, 40, (37, 23)).astype(np.int32)
    target[target > 3] = 0
    target[5] = 0
    counts = np.array([[500, 100, 5, 7], [500, 100, 0, 0]])
    rare = RarePixels(counts)
    assert rare.classes.tolist() == [2, 3]
    listed = np.flatnonzero(np.isin(target, [2, 3]))
    for seed in range(20):
        here, there = (torch.Generator().manual_seed(seed) for _ in range(2))
        expected = divmod(int(listed[int(torch.randint(len(listed), (), generator=there))]), 23)
        assert rare.pick(0, target, here) == expected
    assert rare.pick(1, np.zeros((4, 4), np.int32), torch.Generator()) is None
    assert RarePixels(np.array([[10, 5, 5]])).classes.tolist() == [1, 2]


def test_rare_classes_weigh_more():
    from napari_specimen_seg.training.losses import balanced_weights

    weights = balanced_weights(torch.tensor([100, 1, 0]))
    assert weights[1] / weights[0] == pytest.approx(10)
    assert weights[2] == weights[1]
    assert float(weights.mean()) == pytest.approx(1)


# -- augmentation ------------------------------------------------------------------------------------

PLAIN = {
    "flip_horizontal": False, "rotate": 0, "shift": 0, "scale": 0, "brightness": 0,
    "contrast": 0, "gamma": 0, "hue": 0, "noise": 0, "blur": 0,
}  # fmt: skip


def augment(shape=(8, 8), **settings):
    from napari_specimen_seg.training.augmentation import Augment

    return Augment(AugmentSettings(**{**PLAIN, **settings}), shape, (0.0,), (1.0,))


def sample(transform, picture, target, seed=0, center=None, scale=(1.0, 1.0)):
    from napari_specimen_seg.training.augmentation import Window

    center = center or ((picture.shape[1] - 1) / 2, (picture.shape[2] - 1) / 2)
    return transform(picture, target, Window(center, scale), torch.Generator().manual_seed(seed))


def test_without_strength_a_sample_is_the_picture():
    picture, target = torch.rand(1, 8, 8), torch.randint(0, 3, (8, 8))
    shown, labels = sample(augment(), picture, target)
    torch.testing.assert_close(shown, picture)
    assert torch.equal(labels, target)


def test_picture_and_mask_always_move_together_and_masks_stay_nearest():
    """The embryo system's bug: what is drawn in the mask must stay where it is in the picture."""
    target = torch.zeros(64, 64, dtype=torch.int64)
    target[10:30, 20:50] = 7
    transform = augment(
        (64, 64),
        rotate=90,
        shift=0.2,
        scale=0.3,
        elastic=0.5,
        flip_horizontal=True,
        flip_vertical=True,
        quarter_turns=True,
    )
    for seed in range(20):
        shown, labels = sample(transform, (target > 0).float()[None], target, seed)
        assert set(labels.unique().tolist()) <= {-1, 0, 7}
        seen = labels >= 0
        assert ((shown[0] > 0.5)[seen] == (labels > 0)[seen]).float().mean() > 0.98


def test_a_sample_depends_on_its_seed_alone():
    picture, target = torch.rand(1, 16, 16), torch.randint(0, 3, (16, 16))
    transform = augment((16, 16), rotate=45, noise=1, blur=1, elastic=1, erase=0.5)
    first = [sample(transform, picture, target, seed) for seed in (1, 2)]
    torch.manual_seed(99)
    again = [sample(transform, picture, target, seed) for seed in (1, 2)]
    for (a, b), (c, d) in zip(first, again, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)
    assert not torch.equal(first[0][0], first[1][0])


def test_outside_of_the_picture_nothing_is_learned():
    shown, labels = sample(augment((8, 8)), torch.ones(1, 4, 4), torch.ones(4, 4, dtype=torch.int64))
    assert int((labels == 1).sum()) == 16
    assert int((labels == -1).sum()) == 48
    assert float(shown[0][labels == -1].abs().sum()) == 0


def test_erased_pixels_are_not_learned():
    shown, labels = sample(augment(erase=1), torch.ones(1, 8, 8), torch.ones(8, 8, dtype=torch.int64))
    assert 0 < int((labels == -1).sum()) < 64
    assert float(shown[0][labels == -1].abs().sum()) == 0


@pytest.mark.parametrize("settings", [{"trivial": True}, {"jpeg": 1.0}, {"hue": 1.0}])
def test_colour_operations_leave_the_mask_alone(settings):
    from napari_specimen_seg.training.augmentation import Augment

    transform = Augment(AugmentSettings(**{**PLAIN, **settings}), (16, 16), (0.0,) * 3, (1.0,) * 3)
    target = torch.randint(0, 3, (16, 16))
    picture = torch.rand(3, 16, 16)
    changed = False
    for seed in range(8):
        shown, labels = sample(transform, picture, target, seed)
        assert torch.equal(labels, target)
        assert shown.shape == picture.shape
        changed |= not torch.allclose(shown, picture, atol=0.02)
    assert changed


# -- order -------------------------------------------------------------------------------------------


def order(counts, epoch=0, **learn):
    from napari_specimen_seg.training.dataset import epoch_order

    return list(epoch_order(np.array(counts), TrainConfig(learn=LearnSettings(**learn)), epoch))


def test_every_picture_comes_once_an_epoch_in_another_order():
    counts = [[1, 1]] * 20
    assert sorted(order(counts)) == list(range(20))
    assert order(counts) == order(counts)
    assert order(counts) != order(counts, epoch=1)
    assert sorted(order(counts, patches=2)) == sorted(list(range(20)) * 2)


def test_balanced_batches_hold_k_classes_times_m_pictures():
    counts = [[9, 5, 0, 0]] * 10 + [[9, 0, 5, 0]] * 2 + [[9, 0, 0, 5]] * 5
    indices = order(counts, balance=(3, 2), batch_size=6)
    for start in range(0, len(indices), 6):
        shown = [int(np.argmax(counts[i][1:])) + 1 for i in indices[start : start + 6]]
        assert sorted(shown) == [1, 1, 2, 2, 3, 3]


def test_common_classes_are_capped():
    counts = [[9, 5, 0]] * 30 + [[9, 0, 5]] * 3
    chosen = order(counts, per_class=4)
    assert sum(i < 30 for i in chosen) == 4
    assert sum(i >= 30 for i in chosen) == 3


def test_changed_settings_are_checked():
    with pytest.raises(SpecimenError, match=r"settings: learn\.lr"):
        TrainConfig().changed({"learn": {"lr": -1}})


def test_samples_made_side_by_side_are_those_made_one_by_one(tmp_path):
    from napari_specimen_seg.training.dataset import Samples, Store
    from napari_specimen_seg.training.describe import preprocessing_of
    from napari_specimen_seg.training.loader import Batches, Loader

    rng = np.random.default_rng(0)
    for number in range(8):
        for folder, content in (
            ("images", rng.integers(0, 255, (40, 40, 3))),
            ("labels", rng.integers(0, 2, (40, 40))),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(content.astype(np.uint8)).save(tmp_path / folder / f"{number}.png")
    config = RECIPES["balanced"].changed(
        {
            "data": {"images": tmp_path / "images", "labels": tmp_path / "labels"},
            "input": {"geometry": {"kind": "pad", "size": 32}},
            "learn": {"balance": None, "batch_size": 4},
        }
    )
    class_map = ClassMap.of_ids([0, 1])
    preprocessing = preprocessing_of(config)
    store = Store(find_pairs(config.data).pairs, config, class_map, preprocessing)
    samples = Samples(store, config, preprocessing, 2)
    batches = Batches(samples, config, 0, 0, 1)
    one_by_one = [[samples[key] for key in keys] for keys in batches]
    for _ in range(3):
        for made, (pictures, targets) in zip(one_by_one, Loader(samples, batches, ahead=1), strict=True):
            assert all(torch.equal(m[0], p) for m, p in zip(made, pictures, strict=True))
            assert all(torch.equal(m[1], t) for m, t in zip(made, targets, strict=True))


def test_colours_are_turned_and_grey_stays_grey():
    from napari_specimen_seg.training.augmentation import _turn_colors

    gray = torch.full((3, 2, 2), 0.4)
    torch.testing.assert_close(_turn_colors(gray, 1.7, 0.2), gray, atol=1e-4, rtol=0)
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 2, 2)
    torch.testing.assert_close(_turn_colors(red, 1.0, 1.0), red, atol=1e-4, rtol=0)
    turned = _turn_colors(red, 1.0, 1 / 3)
    assert int(turned[:, 0, 0].argmax()) != 0
    luma = torch.tensor([0.299, 0.587, 0.114])
    assert float(luma @ turned[:, 0, 0]) == pytest.approx(0.299, abs=1e-4)


def test_blurring_spreads_a_point_and_keeps_its_sum():
    from napari_specimen_seg.training.augmentation import _blur

    point = torch.zeros(1, 15, 15)
    point[0, 7, 7] = 1
    blurred = _blur(point, 1.0)
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(blurred[0], blurred[0].T)
    assert float(blurred[0, 7, 7]) == pytest.approx(0.3991**2, abs=1e-3)  # 7 taps of a normal distribution


def test_a_fall_among_the_first_batches_suggests_no_learning_rate():
    """Their mean jumps about whatever the rate; what counts is the fall from the 40th batch on."""
    from napari_specimen_seg.training.lr_find import _steepest

    rates = [10 ** (-7 + 0.1 * number) for number in range(60)]
    losses = [0.9, 0.5, *[0.5] * 38, *[0.5 - 0.02 * number for number in range(20)]]
    assert 10 ** (-7 + 0.1 * 39) <= _steepest(rates, losses) <= rates[-1]
    assert _steepest(rates[:4], [1.0, 0.9, 0.5, 0.4]) > rates[1]


def test_a_model_that_learned_on_has_the_licence_of_the_first_and_says_so(tmp_path):
    from dock_helpers import write_models
    from napari_specimen_seg.core.preprocessing import Preprocessing
    from napari_specimen_seg.training.describe import card_of

    write_models(tmp_path)
    for start, license_ in (("", ""), (str(tmp_path / "cells"), "CC-BY-4.0")):
        config = TrainConfig().changed({"network": {"start_from": start}})
        card = card_of(config, PRESETS["nuclei"], Preprocessing(), [], [], "mine")
        assert card.license == license_
        assert ("whose licence CC-BY-4.0 applies" in card.training.notes) == bool(start)
        assert [source.title for source in card.training.attribution] == ["Beetles <of> NEON"] * bool(start)
