"""Ratios are compared with stored ones, each in the direction in which it is worse."""

from benchmarks.check import change, compare, is_small_better


def test_of_some_ratios_small_is_better():
    assert is_small_better("prediction", "predict, torch fp32 / floor")
    assert not is_small_better("prediction", "MONAI / predict, torch fp32")
    assert not is_small_better("reading", "read PNG / Pillow")
    assert is_small_better("startup", "predict, one small picture")


def test_worse_is_found_in_both_directions():
    assert change("prediction", "predict, torch fp32 / floor", 1.5, 1.0) == 0.5
    assert change("prediction", "MONAI / predict, torch fp32", 2.0, 3.0) == 0.5
    found = {"prediction": {"predict, a / floor": 1.6, "MONAI / predict, a": 3.0, "MONAI / predict, b": 1.0}}
    stored = {"prediction": {"predict, a / floor": 1.0, "MONAI / predict, a": 2.9}}
    rows, fine = compare(found, stored)
    assert not fine
    assert [row[-1] for row in rows] == ["worse", "", "new"]
    assert compare(stored, stored)[1]
