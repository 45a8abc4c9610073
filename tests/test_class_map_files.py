import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_specimen_seg.core.classes import PRESETS, ClassMap
from napari_specimen_seg.core.errors import (
    ClassMapError,
    ReadError,
    SpecimenError,
    SpecimenWarning,
    WriteError,
)
from napari_specimen_seg.core.files.class_maps import read_class_map, write_class_map

FULL = """{"classes": [{"id": 0, "name": "background", "color": "#000000"},
{"id": 7, "name": "leaf", "color": "#00FF00"}]}"""


@pytest.fixture
def read(tmp_path):
    def _read(content, name="classes.json"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_class_map(path)

    return _read


def pairs(class_map):
    return [(item.id, item.name) for item in class_map]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_written_and_read_again(tmp_path, preset):
    path = write_class_map(tmp_path / "a.json", PRESETS[preset])
    assert read_class_map(path) == PRESETS[preset]
    with pytest.raises(WriteError, match="exists"):
        write_class_map(path, PRESETS[preset])
    with pytest.raises(ClassMapError, match=r"\.json"):
        write_class_map(tmp_path / "a.csv", PRESETS[preset])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_our_own_form(read, encoding):
    class_map = read(FULL.encode(encoding))
    assert pairs(class_map) == [(0, "background"), (7, "leaf")]
    assert class_map.by_id(7).color == "#00ff00"


def test_rgb_and_missing_colours(read):
    class_map = read('{"classes": [{"id": 0, "name": "bg", "rgb": [0, 0, 0]}, {"id": 1, "name": "a"}]}')
    assert class_map.by_id(0).color == "#000000"
    assert class_map.by_id(1).color not in ("#000000", None)


def test_names_to_ids(read):
    assert pairs(read('{"leaf": 1, "scale": 2}')) == [(0, "background"), (1, "leaf"), (2, "scale")]
    assert pairs(read('{"ground": 0, "leaf": 1}')) == [(0, "ground"), (1, "leaf")]


def test_csv(read):
    assert pairs(read("id,name\r\n0,background\r\n1,leaf\r\n", "a.csv")) == [(0, "background"), (1, "leaf")]
    class_map = read('\ufeffname,ID,color\n"a;b,c",1,#00ff00\nground,0,\n', "a.csv")
    assert pairs(class_map) == [(1, "a;b,c"), (0, "ground")]
    assert class_map.by_id(1).color == "#00ff00"


def test_yaml(read):
    text = "classes:\n- {id: 0, name: background, color: '#000000'}\n- id: 1\n  name: no\n  rgb: [1, 2, 3]\n"
    assert pairs(read(text, "a.yaml")) == [(0, "background"), (1, "no")]
    assert pairs(read("leaf: 1\n'on': 2\n", "a.yml")) == [(0, "background"), (1, "leaf"), (2, "on")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", "", "not JSON"),
        ("a.json", "null", "must hold"),
        ("a.json", "[]", "must hold"),
        ("a.json", '{"classes": {}}', "must be a list"),
        ("a.json", '{"a": 1, "b": 1}', "the id '1' occurs twice"),
        ("a.json", '{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        ("a.json", '{"a": 1.0}', "valid integer"),
        ("a.json", '{"a": "1"}', "valid integer"),
        ("a.json", '{"a": true}', "valid integer"),
        ("a.json", '{"a": NaN}', "NaN"),
        ("a.json", '{"a": 65536}', "65535"),
        ("a.json", '{"a": -1}', "greater than or equal to 0"),
        ("a.json", '{"a": 1' + "0" * 5000 + "}", "digits"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '{"\\ud800": 1}', "name"),
        ("a.json", '{"classes": [{"id": 1, "name": "a", "color": "#00ff00"}]}', "background is missing"),
        ("a.json", '{"classes": [{"id": 0, "name": "a", "color": "red"}]}', "color"),
        ("a.json", '{"classes": [{"id": 0, "name": "a", "color": "#000000", "run": "x"}]}', "run"),
        ("a.json", b"\xff\xfe\x00", "decode"),
        ("a.csv", "id;name\n0;background\n", "first line must name"),
        ("a.csv", "id,name\n01,a\n", "'01' is not a whole number"),
        ("a.csv", "id,name\n0\n", "does not have 2 values"),
        ("a.csv", "id,name\n0,a,b\n", "does not have 2 values"),
        ("a.csv", "id,name\n1,leaf\n", "background is missing"),
        ("a.yaml", "a: 010\n", "valid integer"),
        ("a.yaml", "a: 1:30\n", "valid integer"),
        ("a.yaml", "a: 0x1f\n", "valid integer"),
        ("a.yaml", "a: '1'\n", "valid integer"),
        ("a.yaml", "a: 1\na: 2\n", "the key 'a' occurs twice"),
        ("a.yaml", "a:\n\tb: 1\n", "not YAML"),
        ("a.yaml", "a: 1\n---\nb: 2\n", "several documents"),
        ("a.yaml", "&a [*a]\n", "aliases"),
        ("a.yaml", "!!python/object/apply:os.system ['true']\n", "is not allowed"),
        ("a.yaml", "? [a]\n: 1\n", "a key must be text"),
        ("a.yaml", "[" * 5000, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(read, name, content, says):
    with pytest.raises(ClassMapError, match=says) as caught:
        read(content, name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_size_is_bounded(read):
    with pytest.raises(ClassMapError, match="too large"):
        read(b" " * (6 << 20))


def test_missing(tmp_path):
    with pytest.raises(ReadError, match="no such file"):
        read_class_map(tmp_path / "a.json")
    with pytest.raises(ReadError):
        read_class_map(tmp_path)


NAMES = st.lists(
    st.text(min_size=1, max_size=20).filter(lambda name: bool(name.strip())), unique=True, max_size=8
)


@pytest.mark.filterwarnings("ignore::napari_specimen_seg.core.errors.SpecimenWarning")
@settings(deadline=None)
@given(NAMES)
def test_any_names_survive(tmp_path_factory, names):
    names = [name for name in names if not any("\ud800" <= char <= "\udfff" for char in name)]
    entries = [
        {"id": i, "name": name, "color": f"#{i:06x}"} for i, name in enumerate(["ground zero", *names])
    ]
    try:
        class_map = ClassMap.parse({"classes": entries})
    except ClassMapError:
        return  # one of the names is that of the ground
    path = write_class_map(tmp_path_factory.mktemp("maps") / "a.json", class_map)
    assert read_class_map(path) == class_map


@pytest.mark.filterwarnings("ignore::napari_specimen_seg.core.errors.SpecimenWarning")
def test_hostile_files(shared):
    """Each item of the corpus does what its manifest expects."""
    folder = shared / "bad_inputs"
    items = json.loads((folder / "manifest.json").read_text())["items"]
    for item in (item for item in items if item["id"].startswith("classmap/")):
        assert _outcome(folder / item["path"]) == {"refuse": "error"}.get(item["expect"], item["expect"]), (
            item["id"]
        )


def _outcome(path):
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            read_class_map(path)
        except SpecimenError:
            return "error"
    return "warn" if any(issubclass(w.category, SpecimenWarning) for w in caught) else "ok"
