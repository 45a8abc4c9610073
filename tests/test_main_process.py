"""How the process of a command ends."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from napari_specimen_seg import __main__ as process
def main():
    sys.modules.setdefault("torch", sys)  # as if it had been loaded
    print("a table")
    return {code}
process.main = main
sys.exit(process.run())
"""


@pytest.mark.parametrize("code", [0, 3])
def test_what_was_printed_is_there_and_the_code_is_that_of_the_command(code):
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(code=code)], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("a table\n", "", code)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has a disk that is always full")
def test_output_that_is_cut_off_is_no_success():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([sys.executable, "-c", SCRIPT.format(code=0)], stdout=full, check=False)
    assert done.returncode == 1
