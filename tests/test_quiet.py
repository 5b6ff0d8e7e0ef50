"""What C++ libraries write to stderr, past Python."""

import os
import subprocess
import sys

import pytest
from scripts import ROOT

from keras_pvt.formats import FORMATS
from keras_pvt.ops import BACKEND
from keras_pvt.utils.quiet import quiet_libraries

PROGRAM = """
import os, sys
from keras_pvt.utils.quiet import quiet_libraries
with quiet_libraries():
    os.write(2, b"chatter\\n")
    print("a warning", file=sys.stderr)
print("after", file=sys.stderr)
os.write(2, b"later\\n")
"""


@pytest.mark.one_backend("of no backend")
def test_what_python_writes_is_shown(tmp_path):
    """In a process of its own, whose stderr is no stand-in of pytest."""
    program = tmp_path / "keras-pvt"  # by whose name the package imports no backend
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["a warning", "after", "later"]


@pytest.mark.one_backend("of no backend")
def test_all_is_shown_of_what_fails(capfd):
    def fail(by):
        with quiet_libraries():
            os.write(2, f"{by.__name__} of a library\n".encode())
            raise by

    for kind in (MemoryError, ValueError, KeyboardInterrupt):
        with pytest.raises(kind):
            fail(kind)
    expected = ["MemoryError of a library", "KeyboardInterrupt of a library"]
    assert capfd.readouterr().err.splitlines() == expected


@pytest.mark.full("a process that imports two backends")
@pytest.mark.skipif(BACKEND == "jax", reason="hands over to other processes as PyTorch does")
@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_an_export_writes_nothing_to_stderr(format, tmp_path):
    """Neither by TensorFlow, whichever process imports it, nor by LiteRT."""
    path = tmp_path / f"nano{FORMATS[format].suffix}"
    program = tmp_path / "keras-pvt"
    program.write_text("import sys\nfrom keras_pvt.cli import main\nsys.exit(main())\n")
    words = ["export", "pvt_nano", "--format", format, "--batch-size", "1", "--out", path]
    done = subprocess.run(
        [sys.executable, program, *words], capture_output=True, text=True,
        env=os.environ | {"KERAS_BACKEND": BACKEND},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert path.name in done.stdout


@pytest.mark.full("a process that imports a backend")
def test_a_prediction_writes_nothing_to_stderr(tmp_path):
    """TensorFlow does when it is imported, which no other backend needs."""
    program = tmp_path / "keras-pvt"
    program.write_text(
        "import sys\nfrom keras_pvt.cli import main\nstatus = main()\n"
        f"assert {BACKEND == 'tensorflow'} or 'tensorflow' not in sys.modules\nsys.exit(status)\n"
    )
    words = ["predict", ROOT / "examples" / "images" / "dog.jpg", "--variant", "pvt_nano"]
    done = subprocess.run(
        [sys.executable, program, *words, "--engine", "keras"], capture_output=True, text=True,
        env=os.environ | {"KERAS_BACKEND": BACKEND},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
