import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_specimen_seg.batch.jobs import PredictJob, plan_jobs, stem_of

OUT = Path("out")


def stems(*pictures: str, confidence: bool = False) -> list[str]:
    return [job.stem for job in plan_jobs(map(Path, pictures), OUT, confidence=confidence)]


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        (["a/x.png", "a/y.png"], ["x", "y"]),
        (["a/x.png", "b/x.png"], ["a_x", "b_x"]),
        (["a/x.png", "a/x.jpg"], ["x_png", "x_jpg"]),
        (["1/a/x.png", "2/a/x.png"], ["1_a_x", "2_a_x"]),
        (["a/x.png", "a/x.jpg", "b/x.png"], ["a_x_png", "a_x_jpg", "b_x_png"]),
        (["a/x.png", "b/x.png", "c/a_x.png"], ["x-", "x-", "a_x"]),
        (["a/scan.ome.tif", "a/plate.OME.zarr"], ["scan", "plate"]),
        (["a/double.ext.tar.png", "a/.hidden.png", "a/-rf.png"], ["double.ext.tar", ".hidden", "-rf"]),
    ],
)
def test_every_picture_gets_the_shortest_stem_that_is_its_own(pictures, expected):
    found = stems(*pictures)
    assert len({stem.casefold() for stem in found}) == len(pictures)
    for stem, start in zip(found, expected, strict=True):
        assert stem == start or (start.endswith("-") and stem != start and "_x" in stem)


def test_names_that_a_disk_may_take_for_the_same_are_kept_apart():
    composed, decomposed = (unicodedata.normalize(form, "Öhrchen") for form in ("NFC", "NFD"))
    assert len(set(stems("a/X.png", "b/x.png"))) == 2
    assert {s.casefold() for s in stems("a/X.png", "b/x.png")} == {"a_x", "b_x"}
    apart = stems(f"a/{composed}.png", f"a/{decomposed}.png")
    assert len({unicodedata.normalize("NFC", s) for s in apart}) == 2


def test_a_confidence_picture_is_not_the_labels_of_another():
    assert stems("a/x.png", "a/x_confidence.png") == ["x", "x_confidence"]
    x, other = plan_jobs([Path("a/x.png"), Path("a/x_confidence.png")], OUT, confidence=True)
    assert x.confidence != other.labels
    assert len({*x.outputs, *other.outputs}) == 6


def test_results_of_a_very_long_name_can_be_written(tmp_path):
    job = PredictJob(tmp_path / ("a" * 251 + ".png"), tmp_path, "ü" * 125)
    for path in job.outputs:
        path.touch()
    assert job.labels.name == "ü" * 125 + ".tif"  # 254 bytes: fits as it is
    assert job.confidence.name.endswith("_confidence.tif")
    assert len(set(tmp_path.iterdir())) == 3


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["a", "b"]), st.sampled_from(["x", "a_x", "x_png"])),
        unique=True,
        max_size=8,
    ),
    st.randoms(),
)
def test_no_two_pictures_share_a_file_and_order_does_not_matter(parts, random):
    pictures = [Path(f"{top}/{folder}/{name}.png") for top, folder, name in parts]
    pictures += [path.with_suffix(".jpg") for path in pictures[::2]]
    jobs = plan_jobs(pictures, OUT, confidence=True)
    outputs = [output for job in jobs for output in job.outputs]
    assert len({str(output).casefold() for output in outputs}) == len(outputs)
    shuffled = random.sample(pictures, len(pictures))
    assert set(plan_jobs(shuffled, OUT, confidence=True)) == set(jobs)


def test_stem_of_a_picture():
    assert stem_of(Path("trailing .png ")) == "trailing "
    assert stem_of(Path("\u202egnp.exe")) == "\u202egnp"
