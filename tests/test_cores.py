"""Many cores, one answer."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.input_settings import ByDtype, FixedResize, Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models.card import ModelCard, Softmax
from napari_specimen_seg.models.cores import cores, cores_for, lanes, one_core_each
from napari_specimen_seg.models.predictor import Predictor
from napari_specimen_seg.models.settings import PredictSettings

torch = pytest.importorskip("torch")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_answers_come_in_order_each_from_a_thread_with_one_core(threads):
    threads(3)
    gate = threading.Barrier(2, timeout=30)

    def work(item: int) -> tuple[int, int, str]:
        if item < 2:
            gate.wait()  # two are computed at the same time
        return item, torch.get_num_threads(), threading.current_thread().name

    found = list(one_core_each(work, range(6), 2))
    assert [item for item, _, _ in found] == list(range(6))
    assert {count for _, count, _ in found} == {1}
    assert threading.current_thread().name not in {name for _, _, name in found}
    assert torch.get_num_threads() == 3


def test_no_more_is_computed_ahead_than_there_are_cores():
    taken = []

    def items():
        for item in range(10):
            taken.append(item)
            yield item

    answers = one_core_each(lambda item: item, items(), 2)
    next(answers)
    assert taken == [0, 1, 2]
    answers.close()


def test_what_goes_wrong_passes_through():
    def fail(item: int) -> int:
        raise RuntimeError(f"tile {item}")

    with pytest.raises(RuntimeError, match="tile 0"):
        list(one_core_each(fail, range(4), 2))


def in_new_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_lanes_side_by_side_leave_torch_as_it_was_and_know_how_many_cores_there_are(threads):
    threads(3)
    first, second = lanes(1), lanes(1)
    one = first.__enter__()
    assert one.submit(torch.get_num_threads).result() == 1
    assert one.submit(cores).result() == 3
    two = in_new_thread(second.__enter__)
    first.__exit__(None, None, None)
    assert two.submit(torch.get_num_threads).result() == 1
    assert two.submit(cores).result() == 3
    in_new_thread(lambda: second.__exit__(None, None, None))
    assert [in_new_thread(torch.get_num_threads), in_new_thread(cores), cores()] == [3, 3, 3]


def test_memory_limits_how_many_are_computed_at_once(threads):
    threads(4)
    assert cores_for(64 * 64, 3) == 4
    assert cores_for(10**9, 3) == 1


@pytest.mark.parametrize("geometry", [Tiles(size=128, halo=16), FixedResize(height=128, width=128)])
def test_the_number_of_cores_does_not_change_a_bit(threads, geometry):
    torch.manual_seed(0)
    # Sums over many channels of a small picture are what torch splits among cores.
    mixing = [torch.nn.Conv2d(a, b, 1) for a, b in ((3, 512), (512, 256), (256, 2))]
    network = torch.nn.Sequential(torch.nn.AvgPool2d(16), *mixing, torch.nn.Upsample(scale_factor=16))
    card = ModelCard(
        name="convolutions",
        architecture="Unet",
        encoder="resnet18",
        class_map=PRESETS["specimen"],
        head=Softmax(),
        preprocessing=Preprocessing(geometry=geometry, values=ByDtype()),
    )
    model = Predictor(card, network)
    picture = np.random.default_rng(0).integers(0, 256, (200, 150, 3)).astype(np.uint8)
    found = []
    for count in (1, 2, 3):
        threads(count)
        found.append(model.predict(picture, PredictSettings(device="cpu", confidence=True)))
    for other in found[1:]:
        np.testing.assert_array_equal(other.labels, found[0].labels)
        np.testing.assert_array_equal(other.confidence, found[0].confidence)
