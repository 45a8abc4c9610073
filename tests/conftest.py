from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real pictures and hostile files that lies beside a developer's checkout."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the shared test data is not beside this checkout")
    return SHARED
