"""The pickle interpreter: plain values come out as they went in, and nothing is ever imported or called."""

import io
import pickle
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legacy_forge import Called, Named, forged
from napari_specimen_seg.core.errors import ModelError
from napari_specimen_seg.models.legacy.findings import Findings, PickleError
from napari_specimen_seg.models.legacy.known_calls import foreign_calls, is_known
from napari_specimen_seg.models.legacy.numpy_records import plain
from napari_specimen_seg.models.legacy.pickle_reader import read_pickle
from napari_specimen_seg.models.legacy.records import Call, Group, Name, Table


def read(data: bytes, findings: Findings | None = None):
    return read_pickle(io.BytesIO(data), findings or Findings())


def same(value):
    """Turn what the interpreter answers back into Python, for plain values only."""
    if isinstance(value, Table):
        return {same(key): same(item) for key, item in value.pairs}
    if isinstance(value, Group):
        return {same(item) for item in value.items}
    if isinstance(value, Call):  # how old protocols write sets and bytes
        if value.name.endswith(".set"):
            return set(map(same, value.args[0]))
        return value.args[0].encode("latin-1") if value.name == "_codecs.encode" else b""
    return type(value)(map(same, value)) if isinstance(value, (list, tuple)) else value


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
        | st.sets(st.integers(), max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES, st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_plain_values_come_out_as_python_reads_them(value, protocol):
    assert same(read(pickle.dumps(value, protocol))) == value


def test_values_that_refer_to_themselves_are_kept_apart():
    loop: list = [1]
    loop.append(loop)

    found = read(pickle.dumps(loop))

    assert found[0] == 1
    assert found[1] is found


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_a_value_or_one_line(data):
    try:
        line = repr(type(read(data)))
    except ModelError as error:
        line = str(error)
    assert "\n" not in line


# -- what an unpickler would run -------------------------------------------------------------------

SYSTEM = Named("os", "system")


@pytest.mark.parametrize(
    ("data", "called"),
    [
        (forged(Called(SYSTEM, ("x",))), "os.system"),
        (forged({"weights": 1, "note": [Called(SYSTEM, ("x",))]}), "os.system"),
        (forged({"k": Called(Named("subprocess", "Popen"), (["x"],), new=True)}), "subprocess.Popen"),
        (b"(S'x'\nios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\nS'x'\no.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.", "os.system"),
        (b"\x80\x04cos\nsystem\n)}\x92.", "os.system"),
        (b"cmod\nKlass\n}b.", "mod.Klass.__setstate__"),
        (
            forged(Called(Called(Named("builtins", "getattr"), (1, "f")), ())),
            "the result of builtins.getattr('f')",
        ),
        (
            b"\x80\x04\x8c\x04\xd0\xbe\xd1\x95\x8c\x06system\x93\x8c\x01x\x85R.",
            "оѕ.system (\\u043e\\u0455.system)",
        ),
    ],
)
def test_calls_are_named_and_not_made(data, called):
    findings = Findings()

    read(data, findings)

    assert called in findings.calls
    assert called in foreign_calls(findings.calls)


def test_no_module_is_looked_up(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something was imported")

    data = forged(Called(Named("no_such_module_anywhere", "function"), (1,)))
    with monkeypatch.context() as patch:
        patch.setattr("builtins.__import__", refuse)
        found = read(data)

    assert (found.function, found.args) == (Name("no_such_module_anywhere", "function"), (1,))


@pytest.mark.parametrize(
    "opcode",
    [b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00", b"Px\n", b"\x97", b"\x98"],
    ids=["EXT1", "EXT2", "EXT4", "PERSID", "NEXT_BUFFER", "READONLY_BUFFER"],
)
def test_opcodes_that_no_model_needs_are_refused(opcode):
    with pytest.raises(PickleError, match="refused"):
        read(b"\x80\x02" + opcode + b".")


@pytest.mark.parametrize(
    "name",
    [
        ("torch.nn.modules.conv", "Conv2d"),
        ("segmentation_models_pytorch.unet.model", "Unet"),
        ("collections", "OrderedDict"),
        ("numpy.core.multiarray", "scalar"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("fastai.learner", "Learner"),
        ("pathlib", "PosixPath"),
    ],
)
def test_what_networks_need_is_known(name):
    assert is_known(Name(*name))


@pytest.mark.parametrize(
    "name",
    [
        ("torch.hub", "load"),
        ("torch", "load"),
        ("torch.utils.collect_env", "run"),
        ("torch.serialization", "load"),
        ("builtins", "eval"),
        ("numpy.testing._private.utils", "runstring"),
        ("fastcore.xtras", "run"),
        ("timm", "create_model"),
        ("torch.nn.modules.conv", "Conv2d.__init__.__globals__"),
        ("tоrch.nn.modules.conv", "Conv2d"),  # with a Cyrillic o
        ("__main__", "Anything"),
    ],
)
def test_everything_else_is_foreign(name):
    assert not is_known(Name(*name))


# -- bounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"N",
        b"\x80\x09N.",
        b"\x8d" + struct.pack("<Q", 2**60) + b"a",
        b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01",
        b"T" + struct.pack("<i", -1) + b"x.",
        b"I" + b"9" * 5000 + b"\n.",
        b"h\x07.",
        b"t.",
        b"1.",
        b"K\x01\x86.",
        b"}K\x01s.",
        b"}(K\x01u.",
        b"K\x01K\x02a.",
        b"c" + b"a" * 5000 + b"\n" + b"b" * 5000 + b"\n.",
        b"\x93.",
        b"K\x01K\x02\x93.",
        b"Nb.",
        b"NNR.",
    ],
)
def test_broken_pickles_are_one_line(data):
    with pytest.raises(PickleError) as caught:
        read(data)
    assert "\n" not in str(caught.value)


def test_a_pickle_with_too_many_steps_is_refused(monkeypatch):
    monkeypatch.setattr("napari_specimen_seg.models.legacy.pickle_reader.MAX_OPCODES", 1000)

    with pytest.raises(PickleError, match="more than 1000 steps"):
        read(b"N0" * 1000 + b"N.")


def test_deep_nesting_needs_no_deep_stack():
    depth = 200_000

    found = read(b"]" * depth + b"a" * (depth - 1) + b".")

    for _ in range(depth - 1):
        found = found[0]
    assert found == []


def test_lists_that_hold_each_other_a_million_times_are_not_unfolded():
    # Billion laughs: each list holds the one before ten times over.
    data = b"]q\x000" + b"".join(
        b"](" + b"h" + bytes([n]) + (b"h" + bytes([n])) * 9 + b"eq" + bytes([n + 1]) + b"0" for n in range(30)
    )

    found = read(data + b"h\x1e.")

    assert len(found) == 10
    assert plain(found, depth=40) is not None


def test_the_same_numbers_cannot_be_described_in_two_ways():
    def storage(numel):
        return (
            b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK%ctQ"
            % numel
        )

    with pytest.raises(PickleError, match="two ways"):
        read(b"\x80\x02" + storage(1) + storage(2) + b".")
