"""``specimen-seg convert``: files of labels to files of other programs, and back."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_specimen_seg.cli import main
from napari_specimen_seg.core.classes import ClassMap, LabelClass
from napari_specimen_seg.core.files import read_class_map, read_labels, write_class_map, write_labels
from napari_specimen_seg.core.image import SpecimenLabels

CLASSES = ClassMap(
    classes=(
        LabelClass(id=0, name="background", color="#000000"),
        LabelClass(id=2, name="leaf", color="#00ff00"),
        LabelClass(id=5, name="fruit", color="#ff8000"),
    )
)
A = np.array([[2, 2, 2, 0], [2, 0, 2, 5], [2, 2, 2, 5]], np.uint8)
B = np.array([[0, 5], [5, 0]], np.uint8)


@pytest.fixture
def masks(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "masks"
    folder.mkdir()
    write_labels(folder / "a.tif", A, CLASSES, 0.5, "mm")
    write_labels(folder / "b.tif", B, CLASSES)
    (folder / "a.json").write_text('{"made": "by predict"}')  # as lies beside every mask
    return folder


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (4, 3)).save(folder / "a.jpg")
    Image.new("RGB", (2, 2)).save(folder / "b.jpeg")
    return folder


@pytest.fixture
def run(capsys):
    def run(*arguments) -> tuple[int, list[str], list[str]]:
        code = main(["convert", *(str(a) for a in arguments)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


def same(folder, suffix=".tif"):
    found = [read_labels(folder / f"{name}{suffix}") for name in "ab"]
    np.testing.assert_array_equal(found[0].data, A)
    np.testing.assert_array_equal(found[1].data, B)
    return found


def test_to_coco_and_back(run, masks):
    code, out, err = run(masks, "--to", "coco", "-o", "all.json")
    assert (code, out) == (0, ["all.json"])
    assert [line.split()[0] for line in err] == ["[1/2]", "[2/2]", "2"]
    assert [i["file_name"] for i in json.loads(Path("all.json").read_text())["images"]] == ["a.tif", "b.tif"]
    code, out, _ = run("all.json", "--to", "tif", "-o", "back")
    assert (code, out) == (0, [str(Path("back/a.tif")), str(Path("back/b.tif"))])
    for labels in same(Path("back")):
        assert labels.class_map == CLASSES


def test_pictures_give_names_and_pixel_sizes(run, masks, photos):
    for name in "ab":
        labels = read_labels(masks / f"{name}.tif")
        (masks / f"{name}.tif").unlink()
        write_labels(masks / f"{name}_mask.png", labels)
    Image.new("RGB", (4, 3)).save(photos / "a.jpg", dpi=(254, 254))
    assert run(masks, "--to", "coco", "-o", "all.json", "--images", photos)[0] == 0
    assert [i["file_name"] for i in json.loads(Path("all.json").read_text())["images"]] == ["a.jpg", "b.jpeg"]
    assert run("all.json", "--to", "tif", "-o", "back", "--images", photos)[0] == 0
    first, _ = same(Path("back"))
    assert first.pixel_size == pytest.approx(0.1)
    assert first.unit == "mm"


def test_to_geojson_and_back_needs_the_pictures(run, masks, photos):
    code, out, _ = run(masks, "--to", "geojson", "-o", "qupath")
    assert (code, out) == (0, [str(Path("qupath/a.geojson")), str(Path("qupath/b.geojson"))])
    code, out, err = run("qupath", "--to", "tif", "-o", "back")
    assert (code, out) == (1, [])
    assert "a.geojson: how large its picture is, the file does not tell" in err[0]
    assert "--images" in err[0]
    assert run("qupath", "--to", "tif", "-o", "back", "--images", photos)[0] == 0
    for labels in same(Path("back")):
        assert labels.class_map == CLASSES


def test_to_label_studio_and_back(run, masks, photos):
    code, out, _ = run(masks, "--to", "label-studio", "-o", "project", "--address", "https://example.org/p/")
    assert (code, out) == (0, [str(Path("project/tasks.json"))])
    tasks = json.loads(Path("project/tasks.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [f"https://example.org/p/{n}.tif" for n in "ab"]
    assert "fruit" in Path("project/tasks-interface.xml").read_text()
    assert read_class_map(Path("project/tasks-classes.json")) == CLASSES
    for task in tasks:  # as comes back: uploaded, and accepted by a person
        task["data"]["image"] = f"/data/upload/1/0123abcd-{Path(task['data']['image']).name}"
        task["annotations"] = task.pop("predictions")
    Path("export.json").write_text(json.dumps(tasks))
    classes = ("--class-map", "project/tasks-classes.json")
    assert run("export.json", "--to", "tif", "-o", "back", "--images", photos, *classes)[0] == 0
    for labels in same(Path("back")):
        assert labels.class_map == CLASSES


def test_results_are_called_like_pictures_where_these_are_known(run, masks, photos):
    run(masks, "--to", "label-studio", "-o", "tasks.json")
    tasks = json.loads(Path("tasks.json").read_text())
    tasks[0]["data"]["image"] = "/data/upload/1/0123abcd-a.jpg"
    Path("export.json").write_text(json.dumps(tasks[:1]))
    _, out, _ = run("export.json", "--to", "tif", "-o", "back", "--images", photos)
    assert out == [str(Path("back/a.tif"))]


def test_to_png_by_ids_and_by_colours(run, masks):
    assert run(masks, "--to", "png", "-o", "ids")[0] == 0
    same(Path("ids"), ".png")
    assert run(masks / "a.tif", "--to", "png", "--colors", "-o", "a.png")[0] == 0
    colors = np.asarray(Image.open("a.png"))
    assert colors[0, 0].tolist() == [0, 255, 0]
    write_class_map(Path("c.json"), CLASSES)
    assert run("a.png", "--to", "tif", "-o", "back", "--class-map", "c.json")[0] == 0
    np.testing.assert_array_equal(read_labels("back/a.tif").data, A)


def test_objects_stay_objects(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touching = SpecimenLabels(
        np.array([[1, 1, 2, 2]], np.uint8),
        "n",
        "YX",
        class_map=CLASSES,
        object_class=np.array([0, 2, 2], np.uint16),
    )
    write_labels("n.tif", touching)
    assert run("n.tif", "--to", "coco", "-o", "n.json")[0] == 0
    assert run("n.json", "--to", "tif", "-o", "objects")[0] == 0
    assert read_labels("objects/n.tif").data.tolist() == [[1, 1, 2, 2]]
    assert read_labels("objects/n.tif").object_class.tolist() == [0, 2, 2]
    assert run("n.json", "--to", "tif", "-o", "classes", "--classes")[0] == 0
    assert read_labels("classes/n.tif").data.tolist() == [[2, 2, 2, 2]]


def test_nothing_is_overwritten_unasked(run, masks):
    arguments = (masks, "--to", "coco", "-o", "all.json")
    assert run(*arguments)[0] == 0
    before = Path("all.json").read_bytes()
    code, _, err = run(*arguments)
    assert code == 1
    assert err[-1].startswith("all.json: it exists already")
    assert run(*arguments, "--overwrite")[0] == 0
    assert Path("all.json").read_bytes() == before  # the same labels give the same file
    code, _, err = run(masks / "a.tif", "--to", "tif", "-o", masks, "--overwrite")
    assert code == 1
    assert "would replace the labels themselves" in err[0]
    np.testing.assert_array_equal(read_labels(masks / "a.tif").data, A)


def test_one_bad_file_does_not_spoil_the_rest(run, masks):
    (masks / "broken.tif").write_bytes(b"II*\0nonsense")
    (masks / "broken.json").write_text("{")
    code, out, err = run(
        masks / "*.tif", masks / "broken.json", "nowhere.tif", "--to", "coco", "-o", "all.json"
    )
    assert (code, out) == (1, ["all.json"])
    assert sum("broken.tif" in line for line in err) == 1
    assert sum("broken.json" in line and "not valid JSON" in line for line in err) == 1
    assert sum("nowhere.tif" in line for line in err) == 1
    assert err[-1] == "2 done, 3 failed"
    assert len(json.loads(Path("all.json").read_text())["images"]) == 2


def test_where_all_fail_nothing_is_left(run, masks):
    (masks / "broken.tif").write_bytes(b"II*\0nonsense")
    for to in ("coco", "label-studio"):
        code, out, _ = run(masks / "broken.tif", masks / "a.json", "--to", to, "-o", "all.json")
        assert (code, out) == (1, [])
    assert not list(Path().glob("*.json")) + list(Path().glob(".part*"))


def test_classes_that_contradict_each_other_are_told(run, masks):
    other = ClassMap(classes=(CLASSES.background, LabelClass(id=2, name="bark", color="#112233")))
    write_labels(masks / "c.tif", np.full((2, 2), 2, np.uint8), other)
    code, _, err = run(masks, "--to", "coco", "-o", "all.json")
    assert code == 1
    assert sum("c.tif: its class 2 is 'bark', before it was 'leaf'" in line for line in err) == 1
    write_class_map(Path("c.json"), CLASSES)
    assert run(masks, "--to", "coco", "-o", "one.json", "--class-map", "c.json")[0] == 0


def test_a_picture_of_another_size_is_told(run, masks, photos):
    run(masks, "--to", "coco", "-o", "all.json")
    Image.new("RGB", (9, 9)).save(photos / "a.jpg")
    code, _, err = run("all.json", "--to", "tif", "-o", "back", "--images", photos)
    assert code == 1
    assert "is about 3 x 4 pixels, its picture has 9 x 9" in err[0]


def test_pictures_of_the_same_name_keep_apart(run, masks):
    run(masks / "a.tif", "--to", "coco", "-o", "1.json")
    run(masks / "a.tif", "--to", "coco", "-o", "2.json")
    code, _, err = run("1.json", "2.json", "--to", "tif", "-o", "back")
    assert code == 1
    assert "it is annotated twice" in " ".join(err)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--to", "tif", "--colors"], "--colors goes with --to png"),
        (["--to", "coco", "--address", "x"], "--address goes with --to label-studio"),
        (["--to", "doc"], "'doc' is not one of"),
        ([], "Missing option '--to'"),
    ],
)
def test_wrong_usage(run, masks, options, words):
    code, _, err = run(masks, "-o", "x", *options)
    assert code == 2
    assert words in " ".join(err)


def test_several_pictures_do_not_go_into_one_file(run, masks):
    code, _, err = run(masks, "--to", "geojson", "-o", "x.geojson")
    assert code == 1
    assert "it is one file, and there are several pictures" in err[0]
    assert run(masks / "a.tif", "--to", "geojson", "-o", "x.geojson")[1] == ["x.geojson"]


def test_json_for_machines(run, masks):
    code, out, _ = run(masks, "--to", "coco", "-o", "all.json", "--json")
    assert code == 0
    said = json.loads("\n".join(out))
    assert (said["file"], said["counts"]) == ("all.json", {"done": 2})


def test_confidence_is_no_labels(run, masks):
    (masks / "a_confidence.tif").write_bytes((masks / "a.tif").read_bytes())
    code, _, err = run(masks, "--to", "coco", "-o", "all.json")
    assert code in (0, 1)
    assert any("confidence" in line for line in err)


def test_real_beetles_come_back_from_every_format(run, tmp_path, shared, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = shared / "data" / "beetles9"
    if not data.exists():
        pytest.skip("no data")
    truth = sorted((data / "val" / "labels").glob("*.png"))[:3]
    classes = ("--class-map", data / "classes.json")
    pictures = ("--images", data / "val" / "images")
    for to, made in (("coco", "x/coco.json"), ("label-studio", "x/tasks.json"), ("geojson", "x")):
        assert run(*truth, "--to", to, "-o", "x", *pictures, *classes)[0] == 0
        assert run(made, "--to", "png", "-o", f"{to}-back", *pictures, *classes)[0] == 0
        for path in truth:
            again = np.asarray(Image.open(tmp_path / f"{to}-back" / path.name))
            np.testing.assert_array_equal(again, np.asarray(Image.open(path)))
