"""Containers of weights: every kind of torch file gives the tensors that torch would, or one line."""

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from legacy_forge import ORDERED, Called, File, Named, forged
from napari_specimen_seg.core.errors import ModelError, SpecimenError
from napari_specimen_seg.models.legacy.files import open_contents
from napari_specimen_seg.models.legacy.finding import find_weights
from napari_specimen_seg.models.legacy.tensors import TensorError, as_tensor

torch = pytest.importorskip("torch")

ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def tensors_in(path: Path) -> dict:
    contents = open_contents(path)
    refs = find_weights(contents.root)[0].tensors
    return contents.source.tensors(refs)


def saved(obj, path: Path, zipped=True) -> Path:
    torch.save(obj, path, _use_new_zipfile_serialization=zipped)
    return path


TENSORS = {
    "plain": torch.arange(24.0).reshape(2, 3, 4),
    "permuted": torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
    "part": torch.arange(24.0).reshape(4, 6)[1:3, 2:5],
    "every other": torch.arange(24.0)[::2],
    "scalar": torch.tensor(3.5),
    "empty": torch.zeros(0, 3),
    "half": torch.tensor([1.5, -2.0]).half(),
    "bfloat16": torch.tensor([1.5, -2.0]).bfloat16(),
    "double": torch.tensor([1.5, -2.0]).double(),
    "whole numbers": torch.tensor([2**40, -1]),
    "truth values": torch.tensor([True, False]),
    "parameter": torch.nn.Parameter(torch.tensor([1.0, 2.0])),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_are_those_that_were_saved(tmp_path, name, zipped):
    found = tensors_in(saved({"a.weight": TENSORS[name]}, tmp_path / "m.pth", zipped))["a.weight"]

    assert found.dtype == TENSORS[name].dtype
    assert torch.equal(found, TENSORS[name].detach())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_tensors_that_share_their_numbers(tmp_path, zipped):
    row = torch.arange(10.0)
    found = tensors_in(saved({"a.w": row[2:5], "b.w": row, "c.w": row[::3]}, tmp_path / "m.pth", zipped))

    assert found["a.w"].tolist() == [2, 3, 4]
    assert found["c.w"].tolist() == [0, 3, 6, 9]
    found["b.w"][:] = 0
    assert found["a.w"].tolist() == [2, 3, 4]


def test_tensors_tagged_with_a_device_that_is_not_here(tmp_path):
    file = File()
    path = file.zipped({"a.w": file.tensor(ARRAY, device="cuda:4")}, tmp_path / "m.pth")

    assert torch.equal(tensors_in(path)["a.w"], torch.from_numpy(ARRAY))


def test_numbers_of_a_big_endian_machine(tmp_path):
    file = File()
    root = {"a.w": file.tensor(ARRAY)}
    file.rows["0"] = ARRAY.astype(">f4").tobytes()

    found = tensors_in(file.zipped(root, tmp_path / "m.pth", byteorder="big"))["a.w"]

    assert torch.equal(found, torch.from_numpy(ARRAY))


def test_a_view_of_a_row_in_an_old_file(tmp_path):
    file = File()
    tensor = file.tensor(np.arange(6, dtype=np.float32))
    file.made[0].view = ("1", 1, 3)
    tensor.args = (tensor.args[0], 0, (3,), (1,), *tensor.args[4:])

    assert tensors_in(file.old({"a.w": tensor}, tmp_path / "m.pth"))["a.w"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_arrays_of_numpy_in_a_bare_pickle(tmp_path, protocol):
    (tmp_path / "m.pkl").write_bytes(
        pickle.dumps({"a.w": ARRAY, "b.w": np.asfortranarray(ARRAY), "c.w": np.float64(2)}, protocol)
    )

    found = tensors_in(tmp_path / "m.pkl")

    assert torch.equal(found["a.w"], torch.from_numpy(ARRAY))
    assert torch.equal(found["b.w"], torch.from_numpy(ARRAY))
    assert found["c.w"].item() == 2


def test_safetensors(tmp_path):
    save_file({"a.w": ARRAY}, tmp_path / "m.bin", metadata={"classes": "[]"})

    contents = open_contents(tmp_path / "m.bin")

    assert contents.metadata == {"classes": "[]"}
    assert torch.equal(tensors_in(tmp_path / "m.bin")["a.w"], torch.from_numpy(ARRAY))


# -- damage ------------------------------------------------------------------------------------------


def test_every_flipped_bit_of_the_weights_is_noticed(tmp_path):
    path = saved({"a.w": torch.arange(4.0)}, tmp_path / "m.pth")
    content = path.read_bytes()
    start = content.index(np.arange(4, dtype=np.float32).tobytes())
    for bit in range(16 * 8):
        broken = bytearray(content)
        broken[start + bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        with pytest.raises(ModelError, match="CRC"):
            tensors_in(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_a_file_that_is_cut_anywhere_is_one_line(tmp_path, zipped):
    content = saved({"a.w": torch.arange(4.0)}, tmp_path / "m.pth", zipped).read_bytes()
    for end in range(0, len(content), 3):
        (tmp_path / "cut.pth").write_bytes(content[:end])
        with pytest.raises(SpecimenError) as caught:
            tensors_in(tmp_path / "cut.pth")
        assert "\n" not in str(caught.value)
        assert "cut.pth" in str(caught.value)


def test_bytes_after_the_end_are_refused(tmp_path):
    path = saved({"a.w": torch.arange(4.0)}, tmp_path / "m.pth", zipped=False)
    path.write_bytes(path.read_bytes() + b"x")

    with pytest.raises(ModelError, match="followed by something"):
        open_contents(path)


def test_a_row_that_is_shorter_than_the_pickle_says(tmp_path):
    file = File()
    root = {"a.w": file.tensor(ARRAY)}
    file.rows["0"] = file.rows["0"][:-4]

    with pytest.raises(ModelError, match="92 bytes, not 96"):
        tensors_in(file.zipped(root, tmp_path / "m.pth"))


def test_a_row_that_is_missing(tmp_path):
    file = File()
    root = {"a.w": file.tensor(ARRAY)}
    file.rows.clear()

    with pytest.raises(ModelError, match="'0' are missing"):
        tensors_in(file.zipped(root, tmp_path / "m.pth"))


# -- tensors that cannot be --------------------------------------------------------------------------


def described(offset=0, shape=(2, 3), stride=(3, 1)):
    file = File()
    row = file.row(np.zeros(6, np.float32))
    return Called(
        Named("torch._utils", "_rebuild_tensor_v2"), (row, offset, shape, stride, False, Called(ORDERED))
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"offset": 1},
        {"offset": -1},
        {"shape": (2, 4)},
        {"shape": (-2, -3)},
        {"shape": (2.0, 3)},
        {"shape": (True, 6)},
        {"stride": (3, 2)},
        {"stride": (-3, 1)},
        {"stride": (3,)},
        {"shape": (10**6, 10**6), "stride": (0, 0)},
        {"shape": (2**62, 3)},
        {"shape": (1,) * 20, "stride": (1,) * 20},
        {"shape": "ab", "stride": "ab"},
    ],
)
def test_tensors_beyond_their_numbers_are_refused(bad):
    from napari_specimen_seg.models.legacy.findings import Findings
    from napari_specimen_seg.models.legacy.pickle_reader import read_pickle

    record = read_pickle(io.BytesIO(forged(described(**bad))), Findings())

    with pytest.raises(TensorError):
        as_tensor(record)


@pytest.mark.parametrize(
    "tensor", [torch.ones(2, 2).to_sparse(), torch.ones(2, dtype=torch.complex64)], ids=["sparse", "complex"]
)
def test_tensors_of_other_kinds_are_refused(tmp_path, tensor):
    with pytest.raises(ModelError, match=r"not read|type|kind"):
        tensors_in(saved({"a.w": tensor}, tmp_path / "m.pth"))


def test_quantised_numbers_are_refused(tmp_path):
    file = File()
    tensor = file.tensor(np.arange(4, dtype=np.int64))
    file.made[0].kind = "QInt8Storage"

    with pytest.raises(ModelError, match="QInt8Storage are not read"):
        open_contents(file.zipped({"a.w": tensor}, tmp_path / "m.pth"))


def test_a_kind_of_numbers_that_is_a_function_is_refused(tmp_path):
    file = File()
    tensor = file.tensor(ARRAY)
    file.made[0].kind = "load"

    with pytest.raises(ModelError, match=r"refused: .*torch\.load"):
        open_contents(file.zipped({"a.w": tensor}, tmp_path / "m.pth"))


# -- archives ----------------------------------------------------------------------------------------


def archive(path: Path, entries: dict[str, bytes], method=zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"a/data.pkl": b"N.", "b/data.pkl": b"N."}, "several pickles"),
        ({"a/data.pkl": b"N.", "evil.py": b""}, "more than torch puts"),
        ({"a/data.pkl": b"N.", "a/code/net.py": b""}, "TorchScript"),
        ({"a/data.pkl": b"N.", "../data": b""}, "leads outside"),
        ({"a/data.pkl": b"N.N."}, "follows the end"),
        ({"x.npy": b""}, "numpy archive"),
        ({"readme.txt": b""}, "without a network"),
    ],
)
def test_archives_that_torch_does_not_write(tmp_path, entries, words):
    with pytest.raises(ModelError, match=words):
        open_contents(archive(tmp_path / "m.pth", entries))


def test_a_bomb_is_not_unpacked(tmp_path):
    path = archive(tmp_path / "m.pth", {"a/data.pkl": b"N" * 20_000_000}, zipfile.ZIP_DEFLATED)

    with pytest.raises(ModelError, match="unpacks to far more"):
        open_contents(path)


def test_packed_entries_of_honest_size_are_read(tmp_path):
    file = File()
    path = file.zipped({"a.w": file.tensor(ARRAY)}, tmp_path / "m.pth")
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()}

    found = tensors_in(archive(tmp_path / "packed.pth", entries, zipfile.ZIP_DEFLATED))

    assert torch.equal(found["a.w"], torch.from_numpy(ARRAY))


def test_entries_that_lie_over_each_other_are_refused(tmp_path):
    inner = archive(tmp_path / "inner.zip", {"archive/data/1": b"\0" * 100}).read_bytes()
    path = archive(tmp_path / "m.pth", {"archive/data.pkl": b"N.", "archive/data/0": inner})
    content = bytearray(path.read_bytes())
    # A third line in the table of contents leads to the entry that lies within the second.
    table, end = content.index(b"PK\x01\x02", content.index(b"PK\x05\x06") + 1), content.rindex(b"PK\x05\x06")
    line = inner[inner.index(b"PK\x01\x02") : inner.index(b"PK\x05\x06")]
    line = line[:42] + struct.pack("<I", content.index(inner)) + line[46:]
    count, size = struct.unpack_from("<H", content, end + 10)[0] + 1, end - table + len(line)
    tail = content[end : end + 8] + struct.pack("<HHII", count, count, size, table) + content[end + 20 :]
    path.write_bytes(content[:end] + line + tail)

    with pytest.raises(ModelError, match="lie over each other"):
        open_contents(path)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS pointer"),
        (b"<!DOCTYPE html>", "web page"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"\0" * 5000, "nothing but zeros"),
        (b"", "empty"),
        (b"\x08\x07\x12\x07pytorch", "no file of weights"),
        (b"hello", "no file of weights"),
    ],
)
def test_strangers_are_told_what_they_are(tmp_path, start, words):
    (tmp_path / "m.pth").write_bytes(start)

    with pytest.raises(ModelError, match=words) as caught:
        open_contents(tmp_path / "m.pth")
    assert "m.pth" in str(caught.value)


@pytest.mark.parametrize("place", [0, 1, 2, 4], ids=["magic", "version", "machine", "keys"])
def test_calls_where_an_old_file_has_numbers(tmp_path, place):
    parts = [0x1950A86A20F9469CFC6C, 1001, {}, {}, []]
    parts[place] = Called(Named("os", "system"), ("x",))
    (tmp_path / "m.pth").write_bytes(b"".join(map(forged, parts)))

    with pytest.raises(ModelError, match=r"refused: opening it would call os\.system"):
        open_contents(tmp_path / "m.pth")
