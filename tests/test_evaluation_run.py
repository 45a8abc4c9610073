"""From folders to a report: pairing, sources, curves, comparison, files, command line."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from napari_specimen_seg import read_labels, write_labels
from napari_specimen_seg.cli import main
from napari_specimen_seg.core.classes import PRESETS, ClassMap
from napari_specimen_seg.core.errors import CancelledError, ReadError, SpecimenError
from napari_specimen_seg.core.files import write_class_map
from napari_specimen_seg.core.image import SpecimenImage, SpecimenLabels
from napari_specimen_seg.core.progress import silent
from napari_specimen_seg.evaluation.compare import Comparison, names_for
from napari_specimen_seg.evaluation.evaluate import evaluate
from napari_specimen_seg.evaluation.output import write_results
from napari_specimen_seg.evaluation.page import ReportInput, number, with_interval
from napari_specimen_seg.evaluation.pairs import bare_name, find_cases
from napari_specimen_seg.evaluation.race import Cost, Facts
from napari_specimen_seg.evaluation.report import render
from napari_specimen_seg.evaluation.run import Evaluation, choose_class_map
from napari_specimen_seg.evaluation.settings import EvaluateSettings
from napari_specimen_seg.evaluation.sources import Answer, MaskSource, ModelSource
from napari_specimen_seg.evaluation.thumbs import (
    Sample,
    SampleKeeper,
    colored,
    contact_sheet,
    disagreement,
    small_labels,
    small_picture,
)

SPECIMEN = PRESETS["specimen"]


def save(folder: Path, **pictures) -> Path:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.items():
        Image.fromarray(np.asarray(data, np.uint8)).save(folder / f"{name}.png")
    return folder


def leaf(left, height=20, width=30):
    mask = np.zeros((height, width), np.uint8)
    mask[5:15, left : left + 10] = 1
    return mask


@pytest.fixture
def folders(tmp_path):
    """Three pictures; the masks of b are shifted by 2 pixels, those of c are empty."""
    masks = {"a": leaf(5), "b": leaf(8), "c": leaf(10)}
    save(tmp_path / "truth", **{f"{name}_mask": 255 * mask for name, mask in masks.items()})
    save(tmp_path / "masks", a=masks["a"], b=leaf(10), c=0 * masks["c"])
    save(tmp_path / "images", **{name: 40 + 150 * mask for name, mask in masks.items()})
    return tmp_path


# -- what belongs together -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("leaf.png", "leaf"),
        ("leaf_mask.png", "leaf"),
        ("leaf.ome.tif", "leaf"),
        ("leaf labels.tif", "leaf"),
        ("_mask.png", "_mask"),
        ("unmasked.png", "unmasked"),
    ],
)
def test_a_label_file_is_called_like_its_picture(file, name):
    assert bare_name(Path(file)) == name


def test_cases_by_name(folders):
    found = find_cases(folders / "truth", images=folders / "images", predictions=[("m", folders / "masks")])
    assert [case.name for case in found.cases] == ["a", "b", "c"]
    assert found.cases[1].image == folders / "images" / "b.png"
    assert found.cases[1].prediction("m") == folders / "masks" / "b.png"
    assert (found.problems, found.notes) == ((), ())


def test_what_has_no_partner_is_named(folders):
    (folders / "masks" / "b.png").unlink()
    save(folders / "masks", more=leaf(1))
    found = find_cases(folders / "truth", predictions=[("m", folders / "masks")])
    assert [case.name for case in found.cases] == ["a", "c"]
    ((path, why),) = found.problems
    assert path.name == "b_mask.png"
    assert "its prediction was not found" in why
    assert found.notes == ("more.png has no labels to be compared with",)


def test_two_candidates_are_never_chosen_between(folders):
    save(folders / "images", b_labels=leaf(1), b_mask=leaf(1))
    (folders / "images" / "b.png").unlink()
    found = find_cases(folders / "truth", images=folders / "images", needs_image=True)
    assert [case.name for case in found.cases] == ["a", "b", "c"]  # b_mask.png is called just like the labels
    assert found.cases[1].image.name == "b_mask.png"
    (folders / "images" / "b_mask.png").unlink()
    save(folders / "images", **{"b-mask": leaf(1)})
    found = find_cases(folders / "truth", images=folders / "images", needs_image=True)
    assert "is not clear: b-mask.png, b_labels.png" in found.problems[0][1]


def test_confidence_pictures_and_provenance_are_no_labels(folders):
    write_labels(folders / "made" / "a.tif", leaf(5), SPECIMEN)
    write_labels(folders / "made" / "a_confidence.tif", leaf(5), SPECIMEN)
    (folders / "made" / "a.json").write_text("{}")
    found = find_cases(folders / "made")
    assert [case.name for case in found.cases] == ["a"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ReadError, match="nowhere"):
        find_cases(tmp_path / "nowhere")


# -- the run ---------------------------------------------------------------------------------------------


def run(folders, class_map=SPECIMEN, **options):
    found = find_cases(folders / "truth", images=folders / "images", predictions=[("m", folders / "masks")])
    evaluation = Evaluation([MaskSource("m", folders / "masks")], class_map, **options)
    for case in found.cases:
        evaluation.add(case, silent)
    return evaluation


def test_masks_of_black_and_white_are_scored(folders):
    evaluation = run(folders)
    table = evaluation.scores().classes.set_index("class").loc["specimen"]
    assert (table["support"], table["support_pictures"]) == (300, 3)
    assert table["iou"] == (100 + 80) / (100 + 120 + 100)
    assert evaluation.scores().images["image"].tolist() == ["c", "b", "a"]
    assert evaluation.scores().images["mean_iou"].tolist() == [0, 80 / 120, 1]


def test_best_and_worst_are_kept_in_small(folders):
    keeper = run(folders, samples=1).keeper
    assert [sample.name for sample in keeper.worst] == ["c"]
    assert [sample.name for sample in keeper.best] == ["a"]
    assert [heading for heading, _ in keeper.worst[0].panels] == ["picture", "truth", "prediction", "wrong"]


def test_who_asks_is_told_of_every_picture(folders):
    told = {}
    run(folders, compared=lambda case, truth, said: told.update({case.name: (truth.data, said["m"].data)}))
    assert sorted(told) == ["a", "b", "c"]
    assert told["a"][0].max() == 1
    assert not told["c"][1].any()


def test_the_agreement_of_two_people_is_a_ceiling_from_the_pictures_that_both_labelled(folders):
    save(folders / "second", b=leaf(9))
    found = find_cases(
        folders / "truth", predictions=[("m", folders / "masks")], seconds=[("two", folders / "second")]
    )
    second = MaskSource("two", folders / "second")
    evaluation = Evaluation([MaskSource("m", folders / "masks")], SPECIMEN, second=second)
    for case in found.cases:
        evaluation.add(case, silent)
    assert evaluation.ceiling.names == ("b",)
    assert evaluation.ceiling.mean_iou == 90 / 110
    assert evaluation.scores().names == ("a", "b", "c")


def test_a_picture_that_one_source_cannot_do_counts_for_none(folders):
    class Broken(MaskSource):
        def answer(self, case, *rest):
            if case.name == "b":
                raise ReadError("broken")
            return super().answer(case, *rest)

    sources = [MaskSource("m", folders / "masks"), Broken("n", folders / "masks")]
    makers = [(source.name, source.folder) for source in sources]
    found = find_cases(folders / "truth", predictions=makers)
    evaluation = Evaluation(sources, SPECIMEN)
    for case in found.cases:
        try:
            evaluation.add(case, silent)
        except SpecimenError:
            continue
    assert evaluation.scores("m").names == evaluation.scores("n").names == ("a", "c")


def test_labels_of_another_size_than_their_picture_are_refused(folders):
    save(folders / "images", b=leaf(1, width=31))
    with pytest.raises(SpecimenError, match=r"20 x 30 pixels, their picture 20 x 31"):
        run(folders)


def test_the_hash_of_the_data_changes_with_a_pixel(folders):
    before = run(folders).data_sha256
    assert run(folders).data_sha256 == before
    save(folders / "truth", a_mask=255 * leaf(6))
    assert run(folders).data_sha256 != before


def test_classes_come_from_the_truth_then_a_model_then_the_values(folders):
    found = find_cases(folders / "truth", predictions=[("m", folders / "masks")]).cases
    assert choose_class_map(SPECIMEN, found, []) == SPECIMEN
    assert [c.name for c in choose_class_map(None, found, [])] == ["background", "label 1"]
    write_class_map(folders / "truth" / "classes.json", PRESETS["nuclei"])
    assert choose_class_map(None, found, []) == PRESETS["nuclei"]


def test_a_sample_of_the_competition_is_a_truth_with_objects(shared):
    folder = shared / "data" / "dsb2018" / "original_layout" / "dev" / "stage1_train"
    found = find_cases(folder, images=folder, needs_image=True)
    case = found.cases[0]
    assert case.image == case.labels
    evaluation = Evaluation([Echo(case)], PRESETS["nuclei"], EvaluateSettings(instances=True))
    evaluation.add(case, silent)
    objects = evaluation.scores().objects.iloc[0]
    assert objects["objects"] == len(list(case.labels.parents[1].glob("masks/*.png")))
    assert objects["ap"] == 1


class Echo:
    """A source that knows the truth."""

    name = "echo"

    def __init__(self, case):
        self.truth = read_labels(case.labels.parents[1])

    def class_map(self):
        return None

    def answer(self, case, image, report, watch=None):
        return Answer(self.truth)

    def describe(self):
        return {}

    def close(self):
        pass


# -- a model ---------------------------------------------------------------------------------------------


@pytest.fixture
def model():
    torch = pytest.importorskip("torch")
    from napari_specimen_seg.core.input_settings import ByRange, Tiles
    from napari_specimen_seg.core.preprocessing import Preprocessing
    from napari_specimen_seg.models.card import Binary, ModelCard
    from napari_specimen_seg.models.predictor import Predictor

    class Brightness(torch.nn.Module):
        """The probability of a pixel is its value / 255."""

        def forward(self, x):
            return x[:, :1]

    preprocessing = Preprocessing(
        geometry=Tiles(size=64, halo=8),
        values=ByRange(low=0, high=255),
        channels="gray",
        mean=(0.0,),
        std=(1.0,),
    )
    card = ModelCard(
        name="brightness",
        architecture="Unet",
        encoder="resnet18",
        class_map=SPECIMEN,
        head=Binary(threshold=0.9),
        activation="sigmoid",
        preprocessing=preprocessing,
    )
    return lambda _: Predictor(card, Brightness())


def test_the_best_threshold_of_a_model_is_found_in_one_run(folders, model):
    found = find_cases(folders / "truth", images=folders / "images", needs_image=True)
    source = ModelSource("m", "brightness", load=model)
    evaluation = Evaluation([source], SPECIMEN, EvaluateSettings(curves=True))
    for case in found.cases:
        evaluation.add(case, silent)
    scores = evaluation.scores()
    assert scores.mean_iou == 0  # at 0.9 nothing is found: the leaves have 190 / 255
    from napari_specimen_seg.evaluation.plots import threshold_curves, to_svg

    assert b"<svg" in to_svg(threshold_curves(scores, 0.9, scores))
    threshold, score = scores.best_threshold
    assert 40 / 255 < threshold < 190 / 255
    assert score == 1
    curve = scores.curves.set_index("threshold")
    assert curve.loc[0.5, ["precision", "recall", "f1", "iou"]].tolist() == [1, 1, 1, 1]
    assert curve.loc[0.9, "iou"] == 0
    assert curve.loc[0.1, "precision"] == 300 / 1800
    written = write_results(folders / "out", evaluation)
    assert (folders / "out" / "curves.csv") in written
    assert "Used was a threshold of 0.9" in written[0].read_text(encoding="utf-8")


def test_a_model_without_pictures_says_so(folders, model):
    found = find_cases(folders / "truth")
    with pytest.raises(SpecimenError, match="needs the picture"):
        Evaluation([ModelSource("m", "b", load=model)], SPECIMEN).add(found.cases[0], silent)


# -- several models --------------------------------------------------------------------------------------


def scores_of(shift):
    truth = [leaf(5), leaf(8), leaf(10)]
    return evaluate(truth, [leaf(5), leaf(8 + shift), leaf(10 - shift)], SPECIMEN)


def cost(seconds, peak):
    return Cost(Facts(1000, 4_000_000, 100, "cpu", "torch", "fp32"), seconds, peak)


def test_a_comparison_by_hand():
    table = Comparison({"good": scores_of(0), "bad": scores_of(2)}).models.set_index("model")
    assert table.loc["good", "mean_iou"] == 1
    assert table.loc["bad", "mean_iou"] == 260 / 340
    assert table.loc["bad", "difference"] == pytest.approx(260 / 340 - 1)
    assert table.loc["bad", "difference_low"] <= table.loc["bad", "difference"]
    assert table.loc["bad", "verdict"] == "worse by 23.53 points of mean IoU"


def test_good_or_not_is_said_only_where_a_limit_was_given():
    pair = {"b": scores_of(2), "a": scores_of(0)}
    assert Comparison(pair).verdict("a") == "better by 23.53 points of mean IoU"
    assert Comparison({"a": pair["a"], "c": scores_of(0)}).verdict("c") == "the same mean IoU"
    assert Comparison({"a": pair["a"], "b": pair["b"]}).is_good("b")  # nobody asked
    asked = Comparison(pair, max_loss=0.5)
    assert asked.verdict("a") == "good: gained 23.53 points of mean IoU"
    turned = Comparison({"a": pair["a"], "b": pair["b"]}, max_loss=0.5)
    assert turned.verdict("b") == "not good: lost 23.53 points of mean IoU, allowed are 0.5"


def test_a_small_loss_passes_and_a_larger_one_does_not():
    pair = {"a": scores_of(0), "b": scores_of(2)}
    lost = 100 * (1 - 260 / 340)
    assert Comparison(pair, max_loss=lost + 0.01).is_good("b")
    assert not Comparison(pair, max_loss=lost - 0.01).is_good("b")


def test_who_wins_which_picture():
    table = Comparison({"x": scores_of(2), "y": scores_of(0)}).pictures
    assert table["winner"].tolist() == ["y", "y", "equal"]
    assert table["image"].tolist() == ["picture 2", "picture 3", "picture 1"]


def test_paired_intervals_are_zero_for_the_same_answers():
    same = Comparison({"x": scores_of(2), "y": scores_of(2)})
    spread = same.difference_of_mean("y")
    assert (float(spread.low), float(spread.high)) == (0, 0)
    assert same.classes["difference y"].tolist() == [0, 0]
    assert float(same.difference_by_picture("y").high) == 0


def test_cost_is_a_median_and_a_peak():
    found = cost((1.0, 3.0, 2.0), ((1100, 1.0), (2100, 2.0), (1900, 0.5)))
    assert found.seconds_per_megapixel == 2
    assert found.peak_bytes == 2100
    assert found.bytes_per_megapixel == (2100 - 100) / 2
    assert np.isnan(cost((), ()).seconds_per_megapixel)


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (["nuclei", "beetle-parts"], ["nuclei", "beetle-parts"]),
        (["runs/one/model", "runs/two/model/"], ["one/model", "two/model"]),
        (["C:\\a\\m", "m"], ["a/m", "m"]),
        (["m", "m"], ["m 1", "m 2"]),
    ],
)
def test_models_get_short_names(models, names):
    assert names_for(models) == names


# -- pictures --------------------------------------------------------------------------------------------


def test_where_masks_differ_and_how():
    truth, said = np.array([[0, 1, 1, 2, 9]]), np.array([[1, 1, 0, 1, 1]])
    assert disagreement(truth, said, ignore=[9]).tolist() == [[2, 0, 1, 3, 0]]


def test_colours_of_classes_and_of_values_without_one():
    rgb = colored(np.array([[0, 1, 7]]), SPECIMEN)
    assert rgb.tolist() == [[[0, 0, 0], list(SPECIMEN.classes[1].rgb), [128, 128, 128]]]


@pytest.mark.parametrize(
    "data",
    [
        np.arange(1200, dtype=np.uint16).reshape(30, 40),
        np.zeros((30, 40), np.uint8),
        np.linspace(0, 1, 1200).reshape(30, 40),
        np.zeros((30, 40, 3), np.uint8),
        np.zeros((30, 40, 4), np.uint8),
        np.full((30, 40), np.nan),
    ],
)
def test_every_kind_of_picture_can_be_shown_small(data):
    shown = small_picture(SpecimenImage(data), 20)
    assert shown.shape == (15, 20, 3)
    assert shown.dtype == np.uint8


def test_a_thumbnail_has_no_new_values_and_is_never_larger():
    labels = np.array([[0, 5], [9, 0]], np.uint8).repeat(50, 0).repeat(80, 1)
    assert set(np.unique(small_labels(labels, 32))) <= {0, 5, 9}
    assert small_labels(labels, 32).shape == (20, 32)
    assert small_labels(labels, 500) is labels


def test_the_keeper_holds_no_more_than_it_needs():
    panel = (("truth", np.zeros((4, 6, 3), np.uint8)),)
    keeper = SampleKeeper(2)
    for score in (0.5, 0.1, 0.9, 0.7, 0.3):
        if keeper.wants(score):
            keeper.add(Sample(str(score), score, panel))
    assert not keeper.wants(0.5)
    assert not keeper.wants(float("nan"))
    assert [s.score for s in keeper.worst] == [0.1, 0.3]
    assert [s.score for s in keeper.best] == [0.9, 0.7]
    assert contact_sheet([*keeper.worst, *keeper.best]).width == 6 + 2 * 8


# -- the report ------------------------------------------------------------------------------------------


class Checker(HTMLParser):
    """Notes what a page asks for from outside, and tags that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.tags: list[str] = []
        self.pictures = 0
        self.without_text = 0

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.outside += [
            v for k, v in attrs if k in ("src", "href", "data") and not str(v).startswith("data:")
        ]
        if tag == "img":
            self.pictures += 1
            self.without_text += not given.get("alt")
        if tag not in ("img", "meta", "link", "br"):
            self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.tags.pop() == tag


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.outside == []
    assert checker.tags == []
    assert checker.without_text == 0
    assert "<script" not in page
    assert not re.search(r"url\((?!data:)", page)
    return checker


def test_a_report_is_one_page_that_needs_nothing_else(folders):
    evaluation = run(folders)
    written = write_results(folders / "out", evaluation, notes=["One picture failed."])
    page = written[0].read_text(encoding="utf-8")
    assert check(page).pictures >= 4 + 3 * 4
    for text in ("specimen", "0.562", "One picture failed.", evaluation.data_sha256, "tolerance 2.0"):
        assert text in page
    assert str(folders) not in page


def test_the_same_run_gives_the_same_bytes(folders):
    for name in ("one", "two"):
        write_results(folders / name, run(folders))
    files = sorted(path.name for path in (folders / "one").iterdir())
    tables = ["confusion.csv", "confusion.png", "images.csv", "report.html", "samples.png", "scores.csv"]
    assert files == [*tables, "summary.json"]
    for name in files:
        assert (folders / "one" / name).read_bytes() == (folders / "two" / name).read_bytes(), name


def test_names_from_anywhere_are_shown_and_not_obeyed():
    evil = "<script>alert(1)</script> $\\frac{1}"
    class_map = ClassMap.model_validate(
        {
            "classes": [
                {"id": 0, "name": "background", "color": "#000000"},
                {"id": 1, "name": evil, "color": "#ff0000"},
            ]
        }
    )
    truth = SpecimenLabels(leaf(3), name="=cmd|x!<img src=x>")
    comparison = Comparison({evil: evaluate([truth], [leaf(4)], class_map)})
    page = render(ReportInput(comparison, origin=[("by", evil)], notes=[evil]))
    check(page)
    assert "&lt;script&gt;" in page


def test_undefined_numbers_are_dashes():
    assert number(float("nan")) == "–"
    assert number(None) == "–"
    assert number(12345) == "12,345"
    assert with_interval(0.5, float("nan"), float("nan")) == "0.500"
    assert with_interval(0.5, 0.25, 0.75) == "0.500 (0.250–0.750)"


def test_a_report_of_several_models_and_two_people():
    scores = {name: scores_of(shift) for name, shift in (("float", 0), ("int8", 1), ("other", 2))}
    costs = {name: cost((1.0,), ((10**9, 1.0),)) for name in scores}
    page = render(ReportInput(Comparison(scores, costs), scores_of(1)))
    check(page)
    for text in ("Comparison of float, int8, other", "worse by", "What each model costs", "two people"):
        assert text in page
    assert "not good" not in page
    judged = render(ReportInput(Comparison(scores, costs, 0.5), scores_of(1)))
    assert "not good: lost" in judged


def test_a_report_without_any_score_is_still_a_report():
    empty = np.zeros((4, 4), np.uint8)
    check(render(ReportInput(Comparison({"m": evaluate([empty], [empty], SPECIMEN)}))))


def test_results_are_not_overwritten_unless_asked_for(folders):
    evaluation = run(folders)
    write_results(folders / "out", evaluation)
    with pytest.raises(SpecimenError, match="exists already"):
        write_results(folders / "out", evaluation)
    (folders / "out" / "curves.csv").write_text("of an older run")
    write_results(folders / "out", evaluation, overwrite=True)
    assert not (folders / "out" / "curves.csv").exists()


# -- the command line ------------------------------------------------------------------------------------


def test_evaluate_prints_and_leaves_what_was_promised(folders, capsys):
    code = main(
        ["evaluate", "--labels", str(folders / "truth"), "--predictions", str(folders / "masks"),
         "-o", str(folders / "out"), "--json"]
    )  # fmt: skip
    said = json.loads(capsys.readouterr().out)
    assert code == 0
    assert said["counts"] == {"done": 3}
    assert said["overall"]["mean_iou"] == 180 / 320
    assert said["overall"]["mean_precision"] == pytest.approx(180 / 200)
    import pandas as pd

    table = pd.read_csv(folders / "out" / "scores.csv")
    assert table["class"].tolist() == ["background", "label 1"]
    assert table["iou"].tolist()[1] == 180 / 320
    assert pd.read_csv(folders / "out" / "images.csv")["image"].tolist() == ["c", "b", "a"]
    summary = json.loads((folders / "out" / "summary.json").read_text())
    assert summary["scores"]["pictures"] == 3


def test_a_picture_that_fails_is_one_line_and_the_others_are_done(folders, capsys):
    save(folders / "masks", b=leaf(1, width=31))
    (folders / "masks" / "c.png").unlink()
    code = main(
        ["evaluate", "--labels", str(folders / "truth"), "--predictions", str(folders / "masks"),
         "-o", str(folders / "out")]
    )  # fmt: skip
    out, err = capsys.readouterr()
    assert code == 1
    assert "1 done, 2 failed" in err
    assert "20 x 30 pixels, the prediction 20 x 31" in err
    assert "mean IoU 1.000" in out
    page = (folders / "out" / "report.html").read_text(encoding="utf-8")
    assert "2 of 3 labelled pictures could not be compared" in page


@pytest.mark.parametrize("command", [["evaluate", "-m", "m"], ["compare", "m", "m"]])
def test_results_in_the_way_are_told_with_the_option_that_replaces_them(folders, capsys, command):
    (folders / "out").mkdir()
    (folders / "out" / "scores.csv").write_text("mine")
    given = ["--labels", str(folders / "truth"), "--images", str(folders / "truth")]
    assert main([*command, *given, "-o", str(folders / "out")]) == 1
    assert "scores.csv exists already. Choose another folder, or add --overwrite." in capsys.readouterr().err


def test_an_instant_model_asks_for_no_option_that_is_not_there(folders, capsys):
    given = ["--images", str(folders / "truth"), "--labels", str(folders / "truth")]
    assert main(["train", *given, "-o", str(folders / "masks"), "--instant", "1"]) == 1
    said = capsys.readouterr().err
    assert "the folder is not empty. Choose another." in said
    assert "overwrit" not in said


def test_nothing_to_compare_leaves_nothing(folders):
    for path in (folders / "masks").iterdir():
        path.rename(path.with_name("x" + path.name))
    arguments = ["evaluate", "--labels", str(folders / "truth"), "--predictions", str(folders / "masks")]
    assert main([*arguments, "-o", str(folders / "out")]) == 1
    assert not (folders / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--predictions", ".", "-m", "nuclei"],
        ["-m", "nuclei"],
        ["--predictions", ".", "--curves"],
        ["--predictions", ".", "--ignore", "70000"],
    ],
)
def test_wrong_usage(folders, wrong, monkeypatch):
    monkeypatch.chdir(folders)
    assert main(["evaluate", "--labels", "truth", "-o", "out", *wrong]) == 2
    assert main(["compare", "nuclei", "--labels", "truth", "--images", "images", "-o", "out"]) == 2


def test_cancelling_passes_through_and_closes_the_sources(folders):
    from napari_specimen_seg.batch.evaluating import evaluate_cases

    class Source(MaskSource):
        closed = False

        def close(self):
            Source.closed = True

    found = find_cases(folders / "truth", predictions=[("m", folders / "masks")])
    evaluation = Evaluation([Source("m", folders / "masks")], SPECIMEN)

    def stop(progress):
        if progress.done == 1:
            raise CancelledError

    with pytest.raises(CancelledError):
        list(evaluate_cases(found, evaluation, stop))
    assert Source.closed
    assert evaluation.scores().names == ("a",)
