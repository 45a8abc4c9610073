import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Machines that do other work at the same time are slow; that is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A checkout passes or it does not: the same examples every time. New ones are looked for on purpose, by
# pytest --hypothesis-profile explore.
settings.register_profile("same", settings.get_profile("patient"), derandomize=True)
settings.register_profile("explore", settings.get_profile("patient"), max_examples=1000, print_blob=True)
settings.load_profile("same")

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(autouse=True)
def _no_gl_offscreen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let napari make layers where Qt draws into memory and there is no OpenGL to ask."""
    if os.environ.get("QT_QPA_PLATFORM") != "offscreen" or "make_napari_viewer" not in request.fixturenames:
        return
    for module in ("utils.gl", "canvas", "layers.base", "layers.image", "layers.labels"):
        for name, answer in (
            ("get_gl_extensions", "texture_float"),
            ("get_max_texture_sizes", (16384, 2048)),
        ):
            where = f"napari._vispy.{module}.{name}"
            monkeypatch.setattr(where, lambda answer=answer: answer, raising=False)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep converted networks and the log away from those of the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        log = tmp_path_factory.mktemp("log") / "errors.log"
        patch.setattr("napari_specimen_seg.core.log.log_path", lambda: log)
        patch.setenv("SPECIMEN_SEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real pictures and hostile files that lies beside a developer's checkout."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the shared test data is not beside this checkout")
    return SHARED
