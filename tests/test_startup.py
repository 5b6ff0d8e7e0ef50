"""How the command `keras-pvt` starts: what it imports, and what it shows after an error."""

import json
import pathlib
import platform
import shutil
import subprocess
import sys

import pytest
from PIL import Image
from processes import run_and_list

from keras_pvt.cli import COMMANDS, main

pytestmark = pytest.mark.one_backend("starts processes that import no backend")

COMMAND = shutil.which("keras-pvt", path=pathlib.Path(sys.executable).parent)
# Each costs a tenth of a second or more; Keras and a backend cost seconds.
HEAVY = {"keras", "jax", "tensorflow", "torch", "numpy", "scipy", "h5py", "PIL", "matplotlib"}


def packages(modules):
    return {name.split(".")[0] for name in modules}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        *((call, ["--help"]) for call in (["-m", "keras_pvt"], ["-m", "keras_pvt.cli"])),
        *(([COMMAND], [*name, "--help"]) for name in ([], *([name] for name in COMMANDS))),
        ([COMMAND], ["--version"]),
        ([COMMAND], ["info", "pvt_small"]),
        ([COMMAND], ["train", "detr_coco", "--help"]),
        ([COMMAND], ["train", "detr_coco", "--show"]),
    ],
)
def test_what_needs_no_keras_does_not_import_it(call, words):
    assert COMMAND is not None
    heavy = HEAVY if words == ["info", "pvt_small"] else HEAVY | {"rich"}  # which draws a table
    _, loaded = run_and_list([*call, *words])
    assert not packages(loaded) & heavy
    assert "keras_pvt.cli" in loaded
    others = {f"keras_pvt.cli.{name}" for name in COMMANDS} - {f"keras_pvt.cli.{words[0]}"}
    assert not loaded & others


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("classes", ["kite/a.png", "wren/a.png"]),
        ("pixels", ["images/a.png", "masks/a.png"]),
        ("boxes", ["images/a.png"]),
    ],
)
def test_data_are_inspected_without_keras(kind, files, tmp_path):
    """Of any kind, and a sheet of them is drawn: NumPy and Pillow do all."""
    data = tmp_path / "data"
    for file in files:
        (data / file).parent.mkdir(parents=True)
        Image.new("L" if "masks" in file else "RGB", (64, 48)).save(data / file)
    if kind == "pixels":
        (data / "classes.txt").write_text("road\nsky\n")
    if kind == "boxes":
        outline = {"bbox": [4, 4, 20, 20], "segmentation": [[4, 4, 24, 4, 24, 24]]}
        content = {
            "images": [{"id": 1, "file_name": "images/a.png", "width": 64, "height": 48}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **outline}],
            "categories": [{"id": 1, "name": "wren"}],
        }
        (data / "boxes.json").write_text(json.dumps(content))
    sheet = tmp_path / "sheet.png"
    done, loaded = run_and_list([COMMAND, "data", data, "--out", sheet])
    assert done.stdout.startswith(f"{kind}: ")
    assert sheet.exists()
    assert not packages(loaded) & (HEAVY - {"numpy", "PIL"})


def test_a_script_of_the_commands_name_has_the_package(tmp_path):
    """`keras-pvt.py` of a user is not the command, for which the package is imported in part."""
    script = tmp_path / "keras-pvt.py"
    script.write_text("import keras_pvt\nprint(keras_pvt.PVTTiny.__name__)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "PVTTiny\n"


def test_other_commands_know_all_classes():
    """What `import keras_pvt` registers, so that any command reads files of any model."""
    code = (
        "import importlib, sys; sys.argv = ['/usr/bin/keras-pvt']; import keras_pvt\n"
        "assert not {'keras', 'numpy'} & sys.modules.keys()\n"
        "from keras_pvt.cli.program import register_classes; register_classes()\n"
        "import keras; known = set(keras.saving.get_custom_objects())\n"
        "del sys.argv; importlib.reload(keras_pvt); keras_pvt.PVTTiny\n"
        "assert 'keras_pvt>SpatialReductionAttention' in known\n"
        "assert set(keras.saving.get_custom_objects()) == known"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_commands_start_keras_before_they_run(monkeypatch):
    called = []
    monkeypatch.setattr("keras_pvt.cli.start_keras", lambda: called.append("started"))
    monkeypatch.setattr("keras_pvt.cli.convert.run", lambda options: called.append("run"))
    assert main(["convert", "a.pth", "b.npz"]) == 0
    assert called == ["started", "run"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    text = capsys.readouterr().out
    assert f"keras-pvt {name}" in text.split("examples:")[1]
    assert "--traceback" in text
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    # Words only, as lines are broken to the width of the terminal.
    assert " ".join([name, *COMMANDS[name].split()]) in " ".join(capsys.readouterr().out.split())


TOO_SMALL = ["info", "pvt_tiny", "--size", "31"]


@pytest.mark.parametrize("words", [["--traceback", *TOO_SMALL], [*TOO_SMALL, "--traceback"]])
def test_traceback_by_an_option(words, capsys):
    assert main(words) == 1
    _check_traceback(capsys.readouterr().err)


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
def test_traceback_by_the_environment(value, shown, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_PVT_TRACEBACK", value)
    assert main(TOO_SMALL) == 1
    error = capsys.readouterr().err
    if shown:
        _check_traceback(error)
    else:
        assert len(error.splitlines()) == 1
        assert error.startswith("error: ")
        assert "--traceback" not in error  # our own message says all


def _check_traceback(text):
    first, *_, last = text.splitlines()
    assert first == "Traceback (most recent call last):"
    assert "flops/" in text
    assert last.startswith("ValueError: ")
    assert "31x31 pixels is too small" in last


def test_an_error_of_another_library_mentions_the_traceback(monkeypatch, capsys):
    monkeypatch.setattr("keras_pvt.cli.info.flops.classifier", lambda *_: int("three"))
    assert main(["info", "pvt_tiny"]) == 1
    assert capsys.readouterr().err == (
        "error: invalid literal for int() with base 10: 'three' (--traceback shows where)\n"
    )


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told so")
def test_commands_keep_the_memory_that_they_freed():
    """A large array costs no page that Linux clears anew, once there was one of its size."""
    code = (
        "import resource, sys; sys.argv = ['/usr/bin/keras-pvt']\n"
        "from keras_pvt.cli import program\n"
        "program.register_classes = program.say_backend = lambda: None\n"
        "program.start_keras()\n"
        "first = b'x' * 48_000_000; del first\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(3):\n"
        "    again = b'x' * 48_000_000; del again\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000  # of 35,000 pages of 4 KiB
