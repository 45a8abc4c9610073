"""From a foreign file to a model folder: what is recognised, asked, repaired, left out and refused."""

import warnings
from pathlib import Path

import pytest

from legacy_forge import ORDERED, Called, File, Named
from napari_specimen_seg.core.errors import ModelError, SpecimenWarning
from napari_specimen_seg.core.input_settings import ByDtype, FixedResize, PadToSquare, Tiles
from napari_specimen_seg.models.bundle import read_card
from napari_specimen_seg.models.card import Binary, Sigmoid, Softmax
from napari_specimen_seg.models.importing import ImportOptions, QuestionsError, import_model
from napari_specimen_seg.models.legacy import inspect_checkpoint
from napari_specimen_seg.models.predictor import load_model

torch = pytest.importorskip("torch")
smp = pytest.importorskip("segmentation_models_pytorch")

ENCODER = "tu-mobilenetv3_small_050"
SMALL = {"encoder_weights": None, "decoder_channels": (32, 16, 16, 8, 8)}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return smp.Unet(ENCODER, classes=3, **SMALL).eval()


@pytest.fixture(scope="module")
def picture():
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def answer(network, picture):
    with torch.no_grad():
        return network(picture)


def saved(obj, path: Path) -> Path:
    torch.save(obj, path)
    return path


def imported(source: Path, **options):
    return import_model(source, source.parent / "model", ImportOptions(**options), overwrite=True)


def same_answer(done, network, picture) -> bool:
    return torch.equal(answer(load_model(done.folder).network, picture), answer(network, picture))


# -- how weights are wrapped -------------------------------------------------------------------------


def with_prefix(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


WRAPPED = {
    "state dict": lambda state: state,
    "training dict": lambda state: {"epoch": 7, "state_dict": state, "loss": 0.2},
    "model key": lambda state: {"model": state, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}},
    "DataParallel": lambda state: with_prefix(state, "module."),
    "Lightning": lambda state: {
        "state_dict": with_prefix(state, "model."),
        "pytorch-lightning_version": "1.5.10",
        "hyper_parameters": {"arch": "Unet"},
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 1e-4}]}],
    },
    "both": lambda state: {"net": with_prefix(state, "module.model.")},
    "list": lambda state: [7, state],
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_weights_are_found_however_they_are_wrapped(tmp_path, network, picture, wrap):
    done = imported(saved(WRAPPED[wrap](network.state_dict()), tmp_path / "m.pth"))

    assert (done.card.architecture, done.card.encoder) == ("Unet", ENCODER)
    assert done.card.options == {"decoder_channels": SMALL["decoder_channels"]}
    assert same_answer(done, network, picture)


def test_a_whole_network_tells_its_settings(tmp_path, picture):
    network = smp.FPN(
        ENCODER, classes=2, activation="sigmoid", upsampling=2, **{"encoder_weights": None}
    ).eval()

    done = imported(saved(network, tmp_path / "m.pth"))

    assert done.card.options == {"upsampling": 2}
    assert (done.card.activation, done.card.head) == ("sigmoid", Sigmoid())
    assert same_answer(done, network, picture)
    assert any("layers agree in every setting" in note for note in done.notes)


def test_a_whole_network_inside_of_others(tmp_path, network, picture):
    done = imported(saved({"net": torch.nn.DataParallel(network)}, tmp_path / "m.pth"))

    assert same_answer(done, network, picture)
    assert not any("own code" in note for note in done.notes)


class Wrapper(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner


def test_a_wrapper_with_code_of_its_own_is_named(tmp_path, network, picture):
    with pytest.warns(SpecimenWarning, match="Wrapper, which no network needs"):
        done = imported(saved(Wrapper(network), tmp_path / "m.pth"))

    assert same_answer(done, network, picture)
    assert any("Wrapper, whose own code is not run" in note for note in done.notes)


def test_half_precision_stays_half(tmp_path, network):
    from safetensors.torch import load_file

    half = {name: t.half() if t.is_floating_point() else t for name, t in network.state_dict().items()}

    done = imported(saved(half, tmp_path / "m.pth"))

    weights = load_file(done.folder / "model.safetensors")
    assert weights["segmentation_head.0.weight"].dtype == torch.float16
    assert load_model(done.folder).network.segmentation_head[0].weight.dtype == torch.float32


def test_single_precision_is_kept_to_the_bit(tmp_path, network):
    from safetensors.torch import load_file

    done = imported(saved(network.state_dict(), tmp_path / "m.pth"))

    weights = load_file(done.folder / "model.safetensors")
    for name, tensor in network.state_dict().items():
        assert torch.equal(weights[name], tensor)


def test_counters_that_very_old_files_lack_are_filled_in(tmp_path, network, picture):
    state = {n: t for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")}

    assert same_answer(imported(saved(state, tmp_path / "m.pth")), network, picture)


def test_the_original_is_not_needed_afterwards(tmp_path, network, picture):
    source = saved(network.state_dict(), tmp_path / "m.pth")
    done = imported(source)
    source.unlink()

    assert same_answer(done, network, picture)
    assert "m.pth (SHA-256 " in done.card.training.notes


# -- what is refused or asked ------------------------------------------------------------------------


def test_several_networks_are_asked_about(tmp_path, network, picture):
    other = {
        name: tensor + 1 if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    source = saved({"model": other, "model_ema": network.state_dict()}, tmp_path / "m.pth")

    with pytest.raises(QuestionsError, match=r"--part \(model, model_ema\)") as caught:
        imported(source)
    assert caught.value.questions[0].field == "part"
    assert same_answer(imported(source, part="model_ema"), network, picture)


def test_the_same_weights_twice_are_one_network(tmp_path, network, picture):
    state = network.state_dict()

    assert same_answer(imported(saved({"model": state, "best": state}, tmp_path / "m.pth")), network, picture)


def test_student_and_teacher_in_one_dictionary_are_asked_about(tmp_path, network):
    state = network.state_dict()
    both = with_prefix(state, "student.") | {"teacher." + n: t.clone() for n, t in state.items()}

    with pytest.raises(QuestionsError, match=r"--part \(student, teacher\)"):
        imported(saved(both, tmp_path / "m.pth"))


def test_an_encoder_that_shapes_do_not_tell_is_asked_for(tmp_path):
    network = smp.Unet("tu-ghostnet_100", classes=2, encoder_weights=None)
    source = saved(network.state_dict(), tmp_path / "m.pth")

    with pytest.raises(QuestionsError, match="Give --encoder"):
        imported(source)
    assert imported(source, encoder="tu-ghostnet_100").card.encoder == "tu-ghostnet_100"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoder": "resnet18"}, "do not fit Unet with encoder resnet18"),
        ({"encoder": "os.system"}, "not known"),
        ({"architecture": "FPN"}, "do not fit FPN"),
        ({"architecture": "Nonet"}, "not known"),
        ({"architecture": "Unet:decoder_channels"}, "has no value"),
        ({"architecture": "Unet:decoder_channels=8192/8192/8192/8192/8192"}, "asks for [0-9]+ numbers"),
        ({"classes": "5"}, "has 3 channels"),
        ({"classes": "a,b,c,d"}, "answers with"),
        ({"preprocessing": "no-such"}, "no such file"),
        ({"preset": "embryo-gray"}, "1 class named"),
        ({"part": "nothing"}, "holds one network"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, network, options, words):
    with pytest.raises(ModelError, match=words) as caught:
        imported(saved(network.state_dict(), tmp_path / "m.pth"), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda s: {**s, "decoder.blocks.0.conv1.0.weight": torch.full((32, 72, 3, 3), float("nan"))},
            "NaN|shape",
        ),
        (
            lambda s: {**s, "segmentation_head.0.bias": s["segmentation_head.0.bias"] * float("inf")},
            "NaN or inf",
        ),
        (lambda s: {n: t for n, t in s.items() if n != "decoder.blocks.4.conv1.0.weight"}, "missing"),
        (lambda s: {**s, "decoder.blocks.9.conv2.1.weight": torch.ones(3)}, "left over"),
        (
            lambda s: {**s, "segmentation_head.0.weight": s["segmentation_head.0.weight"].transpose(0, 1)},
            "contradict",
        ),
        (lambda s: {"../" + n: t for n, t in s.items()}, "no network has"),
        (lambda s: {n: t.to(torch.int8) for n, t in s.items()}, "whole numbers"),
        (
            lambda s: {n: t for n, t in s.items() if n.startswith("encoder.")},
            "no network that this program knows",
        ),
    ],
)
def test_weights_that_cannot_be_right_are_refused(tmp_path, network, change, words):
    with pytest.raises(ModelError, match=words):
        imported(saved(change(network.state_dict()), tmp_path / "m.pth"))
    assert not (tmp_path / "model").exists()


def forged_network(path: Path, network, beside: dict) -> Path:
    file = File()
    arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    return file.zipped({"model": file.state_dict(arrays), **beside}, path)


def test_a_call_beside_complete_weights_is_named_and_not_made(tmp_path, network, picture):
    canary = tmp_path / "canary"
    call = Called(Named("os", "system"), (f"touch {canary}",))
    source = forged_network(tmp_path / "m.pth", network, {"note": call})

    with pytest.warns(
        SpecimenWarning, match=r"would call os\.system, which no network needs; nothing was called"
    ):
        done = imported(source)

    assert same_answer(done, network, picture)
    assert "asked to call os.system" in done.card.training.notes
    assert not canary.exists()


def test_a_call_in_place_of_weights_is_refused(tmp_path):
    call = Called(Named("os", "system"), ("true",))
    source = File().zipped(Called(ORDERED, pairs={"segmentation_head.0.weight": call}), tmp_path / "m.pth")

    with pytest.raises(ModelError, match=r"refused: opening it would call os\.system"):
        imported(source)


# -- classes, head, preprocessing --------------------------------------------------------------------


def test_class_names_in_the_file_are_used(tmp_path, network):
    done = imported(
        saved({"state_dict": network.state_dict(), "classes": ["bg", "leaf", "scale"]}, tmp_path / "m.pth")
    )

    assert [c.name for c in done.card.class_map] == ["background", "leaf", "scale"]
    assert done.card.head == Softmax()


def test_class_names_that_are_formulas_are_warned_of(tmp_path, network):
    source = saved({"state_dict": network.state_dict(), "classes": ["bg", "=cmd()", "x"]}, tmp_path / "m.pth")

    with pytest.warns(SpecimenWarning, match="other programs may act upon"):
        inspect_checkpoint(source)


@pytest.mark.parametrize(
    ("options", "head", "names"),
    [
        ({}, Softmax(), ["background", "class 1", "class 2"]),
        ({"head": "sigmoid"}, Sigmoid(), ["background", "class 1", "class 2", "class 3"]),
        ({"activation": "sigmoid"}, Sigmoid(), ["background", "class 1", "class 2", "class 3"]),
        ({"classes": "a,b,c"}, Sigmoid(), ["background", "a", "b", "c"]),
        ({"classes": "background,b,c"}, Softmax(), ["background", "b", "c"]),
        ({"classes": "3"}, Softmax(), ["background", "class 1", "class 2"]),
    ],
)
def test_classes_and_head(tmp_path, network, options, head, names):
    card = imported(saved(network.state_dict(), tmp_path / "m.pth"), **options).card

    assert card.head == head
    assert [c.name for c in card.class_map] == names


def test_what_is_assumed_is_said_and_stands_in_the_card(tmp_path, network):
    done = imported(saved(network.state_dict(), tmp_path / "m.pth"))

    assert [each.field for each in done.assumed] == ["activation", "head", "classes", "preprocessing"]
    assert "otherwise: --head sigmoid" in done.assumed[1].line
    card = read_card(done.folder)
    assert card.assumed == {each.field: each.text for each in done.assumed}
    assert "one class per pixel" in (done.folder / "README.md").read_text("utf-8")


TOLD = {"activation": "none", "head": "softmax", "preprocessing": "pretrained"}


def test_what_a_person_says_is_not_assumed(tmp_path, network):
    source = saved(network.state_dict(), tmp_path / "m.pth")

    done = imported(source, classes="background,a,b", **TOLD)

    assert done.assumed == ()
    assert read_card(done.folder).assumed is None
    assumed = imported(source).card
    assert done.card.preprocessing == assumed.preprocessing  # what is confirmed is what was assumed
    assert done.card.head == assumed.head


def test_nothing_is_assumed_if_asked_to_ask(tmp_path, network):
    source = saved(network.state_dict(), tmp_path / "m.pth")

    with pytest.raises(QuestionsError, match=r"--head \(softmax, sigmoid\)") as caught:
        imported(source, ask=True)

    questions = {question.field: question.likely for question in caught.value.questions}
    assert questions == TOLD | {"classes": "background,class 1,class 2"}
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()
    assert imported(source, ask=True, **questions).assumed == ()


@pytest.mark.parametrize(
    ("build", "likely"),
    [
        (lambda: smp.FPN(ENCODER, encoder_weights=None), "FPN:upsampling=4"),
        (
            lambda: smp.DeepLabV3Plus("mobilenet_v2", encoder_weights=None),
            "DeepLabV3Plus:encoder_output_stride=16,upsampling=4,decoder_atrous_rates=12/24/36",
        ),
    ],
)
def test_decoder_settings_that_weights_do_not_tell_are_assumed(tmp_path, build, likely):
    source = saved(build().state_dict(), tmp_path / "m.pth")
    done = imported(source)

    assert done.assumed[0].question.likely == likely
    told = imported(source, architecture=likely)
    assert "architecture" not in {each.field for each in told.assumed}
    one, other = (load_model(each.folder).network for each in (done, told))
    assert str(one) == str(other)


def test_a_whole_network_with_a_sigmoid_leaves_names_and_scaling_open(tmp_path):
    network = smp.Unet(ENCODER, classes=2, activation="sigmoid", **SMALL).eval()

    done = imported(saved(network, tmp_path / "m.pth"))

    assert [each.field for each in done.assumed] == ["classes", "preprocessing"]


def test_names_without_a_background_leave_open_how_classes_are_chosen(tmp_path, network):
    named = {"state_dict": network.state_dict(), "classes": ["leaf", "stem", "root"]}
    source = saved(named, tmp_path / "m.pth")

    assert (imported(source).card.head, "head" in imported(source).card.assumed) == (Sigmoid(), True)
    with pytest.raises(ModelError, match="channel background"):
        imported(source, head="softmax")


@pytest.mark.parametrize("text", ["pretrained", "pretrained:resize=320x800", "pretrained:pad=512"])
def test_pictures_can_be_said_to_be_scaled_as_the_encoder_was(tmp_path, network, text):
    card = imported(saved(network.state_dict(), tmp_path / "m.pth"), preprocessing=text).card

    assert card.preprocessing.mean == (0.485, 0.456, 0.406)
    assert isinstance(card.preprocessing.geometry, (Tiles, FixedResize, PadToSquare))
    assert "preprocessing" not in card.assumed


def test_an_activation_that_is_not_known_is_asked_about(tmp_path, picture):
    network = smp.Unet(ENCODER, classes=1, activation="tanh", **SMALL).eval()
    source = saved(network, tmp_path / "m.pth")

    with pytest.raises(QuestionsError, match=r"Tanh.*--activation"):
        imported(source)
    assert imported(source, activation="sigmoid").card.head == Binary()


@pytest.mark.parametrize("name", ["softmax2d", "logsoftmax"])
def test_softmax_runs_over_channels(tmp_path, picture, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the axis that the library leaves to torch
        network = smp.Unet(ENCODER, classes=3, activation=name, **SMALL).eval()
        done = imported(saved(network, tmp_path / "m.pth"))
        expected = answer(network, picture)

    assert torch.equal(answer(load_model(done.folder).network, picture), expected)
    assert done.card.head == Softmax()


def test_presets(tmp_path):
    network = smp.Unet("resnet18", classes=1, in_channels=1, activation="sigmoid", encoder_weights=None)

    card = imported(saved(network, tmp_path / "m.pth"), preset="embryo-gray").card

    assert card.class_map.foreground[0].name == "nucleus"
    assert card.preprocessing.channels == "gray"
    assert card.preprocessing.geometry == FixedResize(height=256, width=256)


def test_pictures_are_scaled_as_the_encoder_was_trained(tmp_path, network):
    card = imported(saved(network.state_dict(), tmp_path / "m.pth")).card

    assert card.preprocessing.values == ByDtype()
    assert card.preprocessing.mean == (0.485, 0.456, 0.406)
    assert card.preprocessing.geometry == Tiles(fitted=False)  # squeeze and excitation sees the whole tile


# -- the command line --------------------------------------------------------------------------------


def test_the_command_line_imports_and_inspects(tmp_path, network, capsys):
    import json

    from napari_specimen_seg.cli import main

    source = saved({"state_dict": network.state_dict()}, tmp_path / "m.pth")

    assert main(["models", "import", str(source), "-o", str(tmp_path / "made"), "--classes", "a,b,c"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "made")
    assert main(["models", "inspect", str(source), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["network"], facts["architecture"], facts["encoder"]) == ("state_dict", "Unet", ENCODER)
    assert facts["foreign_calls"] == []


def test_a_question_on_the_command_line_is_one_line(tmp_path, network, capsys):
    from napari_specimen_seg.cli import main

    other = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    other["segmentation_head.0.bias"] += 1
    source = saved({"a": network.state_dict(), "b": other}, tmp_path / "m.pth")

    assert main(["models", "import", str(source), "-o", str(tmp_path / "made")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("Give --part (a, b).")
    assert not (tmp_path / "made").exists()


# -- layers that are not what they were --------------------------------------------------------------


def test_every_layer_is_compared_and_mended(tmp_path, picture):
    network = smp.Unet(ENCODER, classes=1, **SMALL).eval()
    network.decoder.blocks[0].conv1[1].eps = 0.5
    network.encoder.model.conv_stem.padding = (0, 0)
    network.encoder.model.conv_stem.dilation = (1, 1)

    done = imported(saved(network, tmp_path / "m.pth"))

    assert {(r.layer, r.setting, r.value) for r in done.card.repairs} == {
        ("decoder.blocks.0.conv1.1", "eps", 0.5),
        ("encoder.model.conv_stem", "padding", (0, 0)),
    }
    built = load_model(done.folder).network
    assert built.decoder.blocks[0].conv1[1].eps == 0.5
    assert built.encoder.model.conv_stem.padding == (0, 0)


def test_another_kind_of_layer_is_reported(tmp_path):
    network = smp.Unet(ENCODER, classes=1, **SMALL).eval()
    network.decoder.blocks[0].conv1[2] = torch.nn.Tanh()

    notes = imported(saved(network, tmp_path / "m.pth")).notes

    assert any("decoder.blocks.0.conv1.2.class was 'Tanh', is 'ReLU'" in note for note in notes)


def test_the_padding_of_an_old_efficientnet_is_restored_when_asked(tmp_path):
    network = smp.Unet("efficientnet-b1", classes=1, **SMALL)
    source = saved(network.state_dict(), tmp_path / "m.pth")

    now, then = imported(source), imported(source, encoder="efficientnet-b1@0.2")

    assert now.card.repairs is None
    assert "padded otherwise" in now.card.assumed["encoder"]
    assert "encoder" not in then.card.assumed
    assert "encoder" not in imported(source, encoder="efficientnet-b1@0.3").card.assumed
    assert {repair.setting for repair in then.card.repairs} == {"padding"}


@pytest.mark.parametrize(
    "repair",
    [
        {"layer": "encoder.nothing", "setting": "eps", "value": 0.1},
        {"layer": "segmentation_head.0", "setting": "eps", "value": 0.1},
        {"layer": "segmentation_head.0", "setting": "padding", "value": "same"},
        {"layer": "segmentation_head.0", "setting": "padding", "value": (1, 1, 1)},
    ],
)
def test_repairs_that_no_layer_has_are_refused(tmp_path, network, repair):
    from napari_specimen_seg.models.network import build_network
    from napari_specimen_seg.models.repairs import Repair

    card = imported(saved(network.state_dict(), tmp_path / "m.pth")).card

    with pytest.raises(ModelError, match="layer"):
        build_network(card.model_copy(update={"repairs": (Repair.model_validate(repair),)}))


@pytest.mark.parametrize("setting", ["weight", "forward", "__class__", "training"])
def test_only_settings_can_be_repaired(setting):
    from napari_specimen_seg.models.repairs import Repair

    with pytest.raises(ValueError, match="validation error"):
        Repair.model_validate({"layer": "encoder", "setting": setting, "value": 1})


# -- fastai ------------------------------------------------------------------------------------------


def test_a_unet_of_fastai_by_its_weights(tmp_path, picture):
    from napari_specimen_seg.models.fastai_unet import FastaiUnet

    torch.manual_seed(0)
    network = FastaiUnet("resnet18", classes=2, self_attention=True).eval()
    source = saved(as_fastai_2(network.state_dict()), tmp_path / "m.pth")

    done = imported(source, preset="herbarium")

    assert (done.card.architecture, done.card.encoder) == ("FastaiUnet", "resnet18")
    assert done.card.options == {"version": 2, "self_attention": True}
    assert [c.name for c in done.card.class_map] == ["background", "specimen"]
    assert done.card.preprocessing.geometry == PadToSquare(size=512)
    assert torch.allclose(
        answer(load_model(done.folder).network, picture), answer(network, picture), atol=1e-5
    )


def test_the_pipeline_of_a_fastai_export_is_understood(tmp_path):
    from napari_specimen_seg.models.legacy.files import open_contents
    from napari_specimen_seg.models.legacy.hints import pipeline_of

    file = File()
    steps = [
        Called(Named("fastai.vision.core", "AddMaskCodes"), state={"codes": ["background", "leaf"]}),
        Called(Named("fastai.vision.augment", "Resize"), state={"size": (64, 48), "method": "squish"}),
        Called(
            Named("fastai.data.transforms", "Normalize"),
            state={"mean": file.tensor([0.5, 0.25, 0.125]), "std": file.tensor([1.0, 2.0, 4.0])},
        ),
    ]
    contents = open_contents(file.zipped({"dls": steps}, tmp_path / "m.pkl"))

    found = pipeline_of(contents.root)

    assert (found.classes, found.size, found.method) == (("background", "leaf"), (64, 48), "squish")
    assert contents.source.tensors({"mean": found.mean})["mean"].tolist() == [0.5, 0.25, 0.125]


def as_fastai_2(state):
    """Return weights under the names of fastai 2, with the spectral norm of self-attention apart."""
    renamed = {}
    for name, tensor in state.items():
        for ours, theirs in PLACES:
            if name.startswith(ours):
                name = theirs + name.removeprefix(ours)
                break
        name = name.replace(".conv.", ".0.").replace("shuffle.unit", "shuf.0")
        renamed[name] = tensor
    for part in ("query", "key", "value"):
        start = f"layers.5.conv2.2.{part}.0.weight"
        plain = renamed.pop(start)
        u, v = torch.ones(plain.shape[0]), torch.ones(plain.shape[1])
        v = v / (u @ plain.flatten(1) @ v)  # so that the norm of three times the matrix is three
        renamed |= {f"{start}_orig": 3 * plain, f"{start}_u": u, f"{start}_v": v}
    return renamed


PLACES = [
    ("encoder.", "layers.0."),
    ("norm.", "layers.1."),
    ("middle.", "layers.3."),
    ("stages.0.norm", "layers.4.bn"),
    ("stages.1.norm", "layers.5.bn"),
    ("stages.2.norm", "layers.6.bn"),
    ("stages.3.norm", "layers.7.bn"),
    ("stages.1.attention.query", "layers.5.conv2.2.query.0"),
    ("stages.1.attention.key", "layers.5.conv2.2.key.0"),
    ("stages.1.attention.value", "layers.5.conv2.2.value.0"),
    ("stages.1.attention", "layers.5.conv2.2"),
    ("stages.0.", "layers.4."),
    ("stages.1.", "layers.5."),
    ("stages.2.", "layers.6."),
    ("stages.3.", "layers.7."),
    ("shuffle.unit.", "layers.8.0."),
    ("cross.conv1.", "layers.11.convpath.0."),
    ("cross.conv2.", "layers.11.convpath.1."),
    ("head.", "layers.12."),
]
