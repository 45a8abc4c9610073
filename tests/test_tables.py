"""Tables for spreadsheets: nothing is executed, nothing is lost."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_specimen_seg.core.errors import ReadError, WriteError
from napari_specimen_seg.core.files.tables import read_table, table_text, write_table

FORMULAS = (
    "=1+1",
    "+1",
    "-2+3",
    "@SUM(1,1)",
    "\t=1",
    "\r=1+1",
    "＝1+1",
    "＋1",
    "－1",
    "＠a",
    "'=1+1",
    " =1",
    "''=1",
)


def table(**columns):
    return pd.DataFrame(columns)


def test_what_stands_in_the_file(tmp_path):
    frame = table(image=["a, b", "c"], index=[1, 2], area=[0.1, np.nan], delta=[-1.5, 2e-20])
    path = write_table(tmp_path / "a.csv", frame)
    assert path.read_bytes() == b'image,index,area,delta\n"a, b",1,0.1,-1.5\nc,2,,2e-20\n'


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_starts_a_formula(text):
    for frame in (table(class_name=[text]), pd.DataFrame({text: ["a"]})):
        for line in table_text(frame).split("\n"):
            assert not line.strip('"').lstrip().startswith(tuple("=+-@＝＋－＠"))
        assert f"'{text}" in table_text(frame)


def test_numbers_stay_numbers():
    assert table_text(table(a=[-1], b=[-0.5])) == "a,b\n-1,-0.5\n"
    assert table_text(table(a=["-1"])) == "a\n'-1\n"


def test_what_is_missing_is_an_empty_cell():
    frame = table(a=pd.array([1, None], dtype="Int64"), b=["x", None], c=[np.nan, 2.5])
    assert table_text(frame) == "a,b,c\n1,x,\n,,2.5\n"
    assert table_text(table(a=[None, "x"])) == 'a\n""\nx\n'


def test_a_mark_for_excel_only_where_text_needs_it(tmp_path):
    assert write_table(tmp_path / "a.csv", table(image=["a"])).read_bytes().startswith(b"image")
    path = write_table(tmp_path / "b.csv", table(image=["é"]))
    assert path.read_bytes().startswith(b"\xef\xbb\xbfimage")
    assert list(pd.read_csv(path).columns) == ["image"]
    assert read_table(path)["image"].tolist() == ["é"]


def test_read_again(tmp_path):
    frame = table(
        image=["0412", "7"], index=[1, 2], class_name=["NaN", "-1"], area=[0.1 + 0.2, 1e300],
        note=["007", "x"], plane=[3, 4], empty=[np.nan, np.nan], big=[2**53 + 1, -(2**63)],
    )  # fmt: skip
    found = read_table(write_table(tmp_path / "a.csv", frame))
    pd.testing.assert_frame_equal(found, frame, check_dtype=False)
    assert [str(dtype) for dtype in found.dtypes.iloc[[1, 3, 5, 6, 7]]] == [
        "int64",
        "float64",
        "int64",
        "float64",
        "int64",
    ]


def test_an_empty_table_keeps_its_columns(tmp_path):
    found = read_table(write_table(tmp_path / "a.csv", table(image=[], index=[])))
    assert list(found.columns) == ["image", "index"]
    assert len(found) == 0


def test_two_columns_of_the_same_name(tmp_path):
    frame = pd.DataFrame([[1, "x"]], columns=["a", "a"])
    found = read_table(write_table(tmp_path / "a.csv", frame))
    assert found.to_numpy().tolist() == [[1, "x"]]


def test_nothing_is_overwritten_unless_asked(tmp_path):
    path = write_table(tmp_path / "a.csv", table(a=[1]))
    with pytest.raises(WriteError, match="exists already"):
        write_table(path, table(a=[2]))
    assert read_table(write_table(path, table(a=[2]), overwrite=True))["a"].tolist() == [2]


@pytest.mark.parametrize("content", [b"", b"a,b\n1\n", b"\xff\xfe", b'a\n"b', b'a\n"b"c\n'])
def test_what_is_no_table(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ReadError) as caught:
        read_table(tmp_path / "a.csv")
    assert "\n" not in str(caught.value)
    with pytest.raises(ReadError, match="No such file"):
        read_table(tmp_path / "missing.csv")


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.sampled_from(FORMULAS)
cells = st.lists(st.tuples(texts, st.floats(allow_nan=False), st.integers(-(2**63), 2**63 - 1)), max_size=5)


@given(cells, texts)
@settings(max_examples=50, deadline=None)
def test_round_trip(rows, title):
    frame = pd.DataFrame(rows, columns=["image", f"{title} area", "index"])
    with tempfile.TemporaryDirectory() as folder:
        found = read_table(write_table(Path(folder) / "a.csv", frame))
    assert list(found.columns) == list(frame.columns)
    assert found["image"].tolist() == frame["image"].tolist()
    assert found["index"].tolist() == frame["index"].tolist()
    assert found.iloc[:, 1].tolist() == frame.iloc[:, 1].tolist()


def test_names_meant_to_do_harm_survive(shared, tmp_path):
    files = sorted((shared / "bad_inputs/classmap").glob("name_*.json"))
    names = [name for path in files for name in json.loads(path.read_text()) if name != "background"]
    assert len(names) >= 10
    path = write_table(tmp_path / "a.csv", table(class_name=names, area=range(len(names))))
    assert read_table(path)["class_name"].tolist() == names
    text = path.read_bytes().decode("utf-8-sig")
    assert not any(f"\n{start}" in text for start in "=+-@＝＋－＠")
