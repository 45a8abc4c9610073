"""``specimen-seg sample``: pictures of each group, rare kinds as likely as common ones."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_specimen_seg.cli import main
from napari_specimen_seg.core.errors import ReadError
from napari_specimen_seg.core.sampling import draw, without_level

# One family with a common and a rare genus, another with one picture; species names repeat between genera.
COLLECTION = pd.DataFrame(
    [("Rosaceae", "Rosa", "alba", f"rosa{i}.jpg") for i in range(40)]
    + [("Rosaceae", "Rubus", "alba", f"rubus{i}.jpg") for i in range(4)]
    + [("Poaceae", "Poa", "annua", "poa0.jpg")],
    columns=["family", "genus", "species", "image"],
)


def names(rows, column="image"):
    return COLLECTION.iloc[rows][column].tolist()


def test_so_many_of_each_group_or_all():
    rows, short = draw(COLLECTION, 3, per="family")
    assert Counter(names(rows, "family")) == {"Poaceae": 1, "Rosaceae": 3}
    assert short == {"Poaceae": 1}
    assert len(set(rows)) == 4


def test_members_of_the_lower_level_are_equally_likely():
    drawn = [names(draw(COLLECTION, 1, "family", "genus", seed)[0], "genus") for seed in range(400)]
    share = np.mean([found[1] == "Rubus" for found in drawn])
    assert 0.43 < share < 0.57  # 4 of 44 pictures
    plain = [names(draw(COLLECTION, 1, "family", seed=seed)[0], "genus") for seed in range(400)]
    assert 0.04 < np.mean([found[1] == "Rubus" for found in plain]) < 0.15


def test_a_name_counts_within_its_genus():
    rows, short = draw(COLLECTION, 2, per="species")
    assert Counter(names(rows, "genus")) == {"Poa": 1, "Rosa": 2, "Rubus": 2}
    assert short == {"Poaceae Poa annua": 1}


def test_the_order_of_rows_and_other_groups_do_not_matter():
    rows, _ = draw(COLLECTION, 3, "genus", seed=7)
    mixed = COLLECTION.sample(frac=1, random_state=0).reset_index(drop=True)
    again, _ = draw(mixed, 3, "genus", seed=7)
    assert names(rows) == mixed.iloc[again]["image"].tolist()
    roses = COLLECTION[COLLECTION["genus"] == "Rosa"].reset_index(drop=True)
    alone, _ = draw(roses, 3, "genus", seed=7)
    assert [name for name in names(rows) if name.startswith("rosa")] == roses.iloc[alone]["image"].tolist()
    assert names(draw(COLLECTION, 3, "genus", seed=8)[0]) != names(rows)


@given(
    st.integers(1, 60),
    st.sampled_from(["all", "family", "genus"]),
    st.sampled_from(["genus", "image"]),
    st.integers(0, 99),
)
def test_nothing_is_drawn_twice(count, per, weight, seed):
    rows, short = draw(COLLECTION, count, per, weight, seed)
    assert len(set(rows)) == len(rows)
    sizes = {"all": [45], "family": [44, 1], "genus": [40, 4, 1]}[per]
    assert len(rows) == sum(min(count, size) for size in sizes)
    assert len(short) == sum(size < count for size in sizes)


def test_what_lacks_a_level_is_left_out():
    table = pd.DataFrame({"image": ["a", "b", "c"], "genus": ["Rosa", None, " "]})
    assert draw(table, 5, "genus") == ([0], {"Rosa": 1})
    assert without_level(table, "genus", "image") == 2
    with pytest.raises(ReadError, match=r"it has no level 'family'.*image, genus"):
        draw(table, 1, "family")


# -- the command -----------------------------------------------------------------------------------------


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments) -> tuple[int, list[str], list[str]]:
        code = main(["sample", *(str(a) for a in arguments)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


@pytest.fixture
def collection(tmp_path) -> Path:
    categories = [
        {"id": 3, "name": "Rosa alba", "family": "Rosaceae", "genus": "Rosa", "species": "alba"},
        {"id": 8, "name": "Rubus alba", "family": "Rosaceae", "genus": "Rubus", "species": "alba"},
    ]
    photos = tmp_path / "photos"
    images, annotations = [], []
    for number in range(8):
        name = f"{number % 2}/{number}.png"
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), number).save(photos / name)
        images.append({"id": number, "file_name": name, "height": 2, "width": 2, "license": 1})
        annotations.append({"id": number, "image_id": number, "category_id": 8 if number == 5 else 3})
    content = {"info": {"year": 2022}, "images": images, "annotations": annotations, "categories": categories}
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(content))
    return path


def test_a_sample_of_a_collection(run, collection):
    arguments = (collection, "-n", 2, "--per", "genus", "--seed", 3, "-o", "sample", "--images", "photos")
    code, out, err = run(*arguments)
    assert code == 0
    assert out[0] == str(Path("sample/metadata.json"))
    assert any(
        "fewer than 2 pictures, all of which are taken: 1, such as Rosaceae Rubus with 1" in line
        for line in err
    )
    part = json.loads(Path("sample/metadata.json").read_text())
    assert part["info"] == {"year": 2022}
    assert len(part["images"]) == len(part["annotations"]) == 3
    assert 5 in {image["id"] for image in part["images"]}
    for image in part["images"]:
        copied = Path("sample/images") / image["file_name"]
        assert copied.read_bytes() == (Path("photos") / image["file_name"]).read_bytes()
    noted = json.loads(Path("sample/sample.json").read_text())
    assert (noted["count"], noted["per"], noted["weight"], noted["seed"]) == (2, "genus", "image", 3)
    code, _, err = run(*arguments)
    assert code == 1
    assert "it exists already" in err[-1]
    before = Path("sample/metadata.json").read_bytes()
    assert run(*arguments, "--overwrite")[0] == 0
    assert Path("sample/metadata.json").read_bytes() == before


def test_a_sample_of_a_table(run, tmp_path):
    COLLECTION.rename(columns={"image": "file_name"}).to_csv(tmp_path / "all.csv", index=False)
    assert run("all.csv", "-n", 2, "--per", "family", "--weight", "genus", "-o", "sample")[0] == 0
    part = pd.read_csv("sample/metadata.csv")
    assert list(part.columns) == ["family", "genus", "species", "file_name"]
    assert Counter(part["family"]) == {"Rosaceae": 2, "Poaceae": 1}


@pytest.mark.parametrize("text", ["image\na.jpg\n", "id;image\n1;a.jpg\n", "id\timage\n1\ta.jpg\n"])
def test_tables_however_they_are_separated(run, text):
    Path("x.csv").write_text(text)
    assert run("x.csv", "-n", 1, "-o", "sample")[0] == 0
    assert pd.read_csv("sample/metadata.csv")["image"].tolist() == ["a.jpg"]


def test_pictures_that_are_missing_or_elsewhere_are_told(run, collection):
    content = json.loads(collection.read_text())
    content["images"][0]["file_name"] = "nowhere.png"
    content["images"][1]["file_name"] = "../metadata.json"
    collection.write_text(json.dumps(content))
    code, out, err = run(collection, "-n", 9, "-o", "sample", "--images", "photos")
    assert code == 1
    assert sum("there is no such file" in line for line in err) == 1
    assert sum("lies outside of the folder" in line for line in err) == 1
    assert len(out) == 7  # metadata and six pictures
    assert not Path("sample/metadata.json.png").exists()
    assert sorted(p.name for p in Path("sample").iterdir()) == ["images", "metadata.json", "sample.json"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.json", "{", "is not valid JSON"),
        ("x.json", '{"images": []}', "is no metadata that can be used"),
        (
            "x.json",
            '{"images": [], "annotations": [], "categories": []}',
            "it has no pictures with a category",
        ),
        (
            "x.json",
            '{"images": [{}], "annotations": [3], "categories": []}',
            "is no metadata that can be used",
        ),
        ("x.csv", "a,b\n1,2\n", "no column names the pictures"),
        ("x.csv", "image,b\n", "it has no rows"),
        ("x.csv", "", "is no table"),
        ("none.csv", None, "none.csv: cannot be read (No such file or directory)"),
    ],
)
def test_metadata_that_makes_no_sense_is_told(run, name, text, words):
    if text is not None:
        Path(name).write_text(text)
    code, out, err = run(name, "-n", 1, "-o", "sample")
    assert (code, out, len(err)) == (1, [], 1)
    assert words in err[0]
    assert not Path("sample").exists()


def test_wrong_usage(run, collection):
    assert run(collection, "-n", 0, "-o", "x")[0] == 2
    assert run(collection, "-o", "x")[0] == 2
