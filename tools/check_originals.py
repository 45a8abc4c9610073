"""Compare imported networks with the libraries that made them, in environments of their own.

    python tools/check_originals.py --library smp==0.3.3 --library smp==0.2.1 --library fastai==2.8.12

For each library: an environment beside the one that runs this (its torch is used, the old library comes from
the package index), networks with random weights, saved whole and as state dicts, with their answers to a
picture. Then, without the library, each is imported and must answer the same. Takes minutes for each library;
`--quick` takes a few networks only. Exit code 1 if anything differs by more than 1e-5 of the answer's range.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NEEDS = {
    "smp==0.2.1": ("timm==0.4.12", "efficientnet-pytorch==0.6.3", "pretrainedmodels==0.7.4", "munch", "six"),
    "smp==0.3.3": ("timm==0.9.2", "efficientnet-pytorch==0.7.1", "pretrainedmodels==0.7.4", "munch", "six"),
    "fastai==2.8.12": (
        *("fastcore", "fastprogress<1.1", "fastdownload", "plum-dispatch", "beartype", "fasttransform"),
        "cloudpickle",
    ),
}
"""What to install beside a library, without what these in turn ask for."""

SHIMS = {
    # timm 0.4 takes two names from a module that torch 2 dropped.
    "torch_six.py": "import collections.abc as container_abcs\nstring_classes = (str, bytes)\n"
}

ARCHITECTURES = (
    *("Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "PAN", "DeepLabV3", "DeepLabV3Plus"),
)
ENCODERS = (
    *("resnet34", "resnext50_32x4d", "se_resnet50", "se_resnext50_32x4d", "densenet121", "vgg11_bn"),
    *("inceptionv4", "efficientnet-b0", "efficientnet-b2", "mobilenet_v2", "xception", "dpn68"),
    *("timm-efficientnet-b0", "timm-resnest14d", "timm-res2net50_26w_4s", "timm-regnetx_002"),
    *("timm-gernet_s", "timm-skresnet18", "timm-mobilenetv3_small_100", "mit_b0", "mobileone_s0"),
)
RESNETS = ("resnet18", "resnet34", "resnet50")


# -- with the old library ----------------------------------------------------------------------------


def make(library: str, folder: Path, quick: bool) -> None:
    """Save networks of an old library, with their answers."""
    import torch

    torch.manual_seed(0)
    cases = fastai_cases() if library.startswith("fastai") else smp_cases(quick)
    facts = {}
    for name, build in cases:
        try:
            network = randomised(build())
        except Exception as error:  # not every version has every encoder
            print(f"{library} {name}: not built ({type(error).__name__})", file=sys.stderr)
            continue
        picture = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            answer = network(picture).as_subclass(torch.Tensor)
        torch.save(network, folder / f"{name}.whole.pth")
        torch.save({"state_dict": network.state_dict()}, folder / f"{name}.weights.pth")
        torch.save({"picture": picture, "answer": answer}, folder / f"{name}.answer")
        facts[name] = library
    (folder / "made.json").write_text(json.dumps(facts), encoding="utf-8")


def smp_cases(quick: bool) -> Iterator[tuple[str, Callable[[], torch.nn.Module]]]:
    """Yield every architecture with one encoder, and one architecture with many encoders."""
    import segmentation_models_pytorch as smp

    for architecture in ARCHITECTURES:
        yield (
            architecture,
            lambda a=architecture: getattr(smp, a)("mobilenet_v2", encoder_weights=None, classes=3),
        )
    for encoder in ENCODERS[: 4 if quick else None]:
        yield f"Unet-{encoder}", lambda e=encoder: smp.Unet(e, encoder_weights=None, classes=2)


def fastai_cases() -> Iterator[tuple[str, Callable[[], torch.nn.Module]]]:
    """Yield U-Nets as `unet_learner` builds them."""
    import torchvision
    from fastai.vision.learner import create_body
    from fastai.vision.models.unet import DynamicUnet

    def build(encoder: str, attention: bool) -> torch.nn.Module:
        body = create_body(getattr(torchvision.models, encoder)(), pretrained=False)
        network: torch.nn.Module = DynamicUnet(body, 3, (64, 64), self_attention=attention)
        return network

    for encoder in RESNETS:
        for attention in (False, True):
            yield f"{encoder}-{attention}", lambda e=encoder, a=attention: build(e, a)


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """Give running statistics and attention values other than those of a fresh network."""
    import torch

    chance = torch.Generator().manual_seed(2)
    for name, values in network.named_buffers():
        if name.endswith("running_mean"):
            values.normal_(0, 0.1, generator=chance)
        elif name.endswith("running_var"):
            values.uniform_(0.5, 1.5, generator=chance)
    for name, weights in network.named_parameters():
        if name.endswith("gamma"):
            weights.data.fill_(0.3)
    return network.eval()


# -- without it --------------------------------------------------------------------------------------


def compare(folder: Path) -> int:
    """Import what was saved; return how many networks answer otherwise or are refused."""
    facts = json.loads((folder / "made.json").read_text("utf-8"))
    wrong = 0
    for name, library in facts.items():
        for kind in ("whole", "weights"):
            said = verdict(folder, name, kind, library)
            wrong += not said.startswith("same")
            print(f"{library:16}{name:36}{kind:9}{said}", flush=True)
            (folder / f"{name}.{kind}.pth").unlink()
    return wrong


def verdict(folder: Path, name: str, kind: str, library: str) -> str:
    """Import one file and compare its answer with the original's."""
    import torch

    from napari_specimen_seg.core.errors import SpecimenError
    from napari_specimen_seg.models.legacy import import_checkpoint
    from napari_specimen_seg.models.network import build_network, load_weights

    saved = torch.load(folder / f"{name}.answer", weights_only=True)
    try:
        draft = import_checkpoint(folder / f"{name}.{kind}.pth", options_for(name, kind, library))
    except SpecimenError as error:
        return f"REFUSED {error}"
    network = build_network(draft.card)
    assert not isinstance(draft.weights, bytes)
    load_weights(network, draft.weights, name)
    with torch.no_grad():
        answer = network(saved["picture"])
    far = float((answer - saved["answer"]).abs().max())
    share = far / max(1.0, float(saved["answer"].abs().max()))
    repaired = f", {len(draft.card.repairs)} repairs" if draft.card.repairs else ""
    return f"{'same' if share <= 1e-5 else 'DIFFERS'} ({far:.1e}{repaired}) {draft.card.network_name}"


def options_for(name: str, kind: str, library: str) -> Any:
    """Say what weights alone cannot: the encoder where several fit, and the version for EfficientNets."""
    from napari_specimen_seg.models.importing import ImportOptions

    encoder = name.removeprefix("Unet-") if name.startswith("Unet-") and kind == "weights" else ""
    if encoder.startswith("efficientnet-") and "0.2" in library:
        encoder += "@0.2"
    return ImportOptions(encoder=encoder or None)


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", action="append", choices=sorted(NEEDS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--make", nargs=2, metavar=("LIBRARY", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.make:
        make(given.make[0], Path(given.make[1]), given.quick)
        return 0
    wrong = 0
    for library in given.library or sorted(NEEDS):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            _run_old(library, folder, given.quick)
            wrong += compare(folder)
    return 1 if wrong else 0


def _run_old(library: str, folder: Path, quick: bool) -> None:
    """Install the old library into a folder and run `make` with it."""
    packages = folder / "packages"
    name = library.replace("smp", "segmentation-models-pytorch")
    wanted = [name, *NEEDS[library]]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages, *wanted]
    subprocess.run(install, check=True)
    for file, text in SHIMS.items():
        (packages / file).write_text(text, encoding="utf-8")
    # The old library must be found before the one that is installed here; torch comes from here.
    start = f"import sys; sys.path[:0] = [{str(packages)!r}]; \n"
    if library == "smp==0.2.1":
        start += "import torch, torch_six; torch._six = torch_six; sys.modules['torch._six'] = torch_six\n"
    start += (
        f"import runpy; sys.argv = {['check', '--make', library, str(folder), *(['--quick'] * quick)]!r}\n"
    )
    start += f"runpy.run_path({__file__!r}, run_name='__main__')"
    subprocess.run([sys.executable, "-W", "ignore", "-c", start], check=True)


if __name__ == "__main__":
    sys.exit(main())
