"""The command `keras-pvt`: results, errors and exit statuses."""

import argparse
import functools
import json
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import keras_pvt
from keras_pvt.classification.predictor import FileClassifier
from keras_pvt.cli import arguments, main
from keras_pvt.conversion import save_checkpoint, to_torch

pytestmark = pytest.mark.one_backend("what a command prints and draws")

# The words for random weights; the file's name takes the place of the last.
NANO = ["--variant", "pvt_nano", "--weights", "WEIGHTS"]
NAMES = tuple(f"class {n}" for n in range(10))
IMAGES = pathlib.Path(__file__).parents[1] / "examples" / "images"


@pytest.fixture(scope="module", autouse=True)
def _load_once():
    """The same model for the same options: building one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileClassifier, "load", functools.cache(FileClassifier.load))
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with random weights of pvt_nano, and the model that has them."""
    keras.utils.set_random_seed(1)
    model = keras_pvt.PVTNano(weights=None, include_preprocessing=True)
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    save_checkpoint(to_torch(model), path, classes=NAMES)
    return path, model


@pytest.fixture
def nano(weights):
    """Options that choose the random weights."""
    return [*NANO[:-1], str(weights[0])]


def expected(model, name, top):
    """Class names and probabilities, by the functions that users have."""
    crop = keras_pvt.eval_transform(IMAGES / name, size=32)
    return keras_pvt.decode_predictions(model.predict_on_batch(crop[None]), top, NAMES)[0]


def test_predict_json(weights, nano, capsys):
    names = ["dog.jpg", "panda.jpg"]
    files = [str(IMAGES / name) for name in names]
    assert main(["predict", *files, *nano, "--json", "--top", "3", "--batch-size", "1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"] for line in lines] == files
    for name, line in zip(names, lines, strict=True):
        wanted = expected(weights[1], name, 3)
        assert [c["name"] for c in line["predictions"]] == [name for _, name, _ in wanted]
        values = [c["probability"] for c in line["predictions"]]
        np.testing.assert_allclose(values, [value for *_, value in wanted], atol=1e-5)


def test_predict_folder_in_lines_skips_damaged_files(weights, nano, capsys, tmp_path):
    shutil.copy(IMAGES / "cat.jpg", tmp_path)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff not a photograph")
    assert main(["predict", str(tmp_path), *nano, "--top", "2"]) == 1
    out, err = capsys.readouterr()
    rows = [line.split("\t") for line in out.splitlines()]
    wanted = expected(weights[1], "cat.jpg", 2)
    assert [row[:2] for row in rows] == [[str(tmp_path / "cat.jpg"), name] for _, name, _ in wanted]
    first, last = err.splitlines()
    assert "bad.jpg" in first
    assert last == "error: 1 of 2 images could not be read"


def test_predict_as_a_table_on_a_terminal(nano, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stdout for a terminal
    assert main(["predict", str(IMAGES / "horses.jpg"), *nano, "--top", "10"]) == 0
    out = capsys.readouterr().out
    assert "horses.jpg" in out
    assert "class 9" in out
    assert "█" in out


def test_info(capsys):
    assert main(["info", "pvt_small", "--size", "224"]) == 0
    out = capsys.readouterr().out
    for text in ("24,485,864", "3.816", "56x56x64", "7x7x512", "whai362/PVT"):
        assert text in out
    assert main(["info", "pvt_small", "--size", "64x96", "--backbone"]) == 0
    out = capsys.readouterr().out
    assert "16x24x64" in out
    assert "head " not in out
    assert main(["info", "pvt_small", "--size", "64x96", "--system", "backbone"]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.parametrize(
    ("system", "texts"),
    [
        ("semantic_fpn", ("512x512", "28,237,974", "44.502", "44.538", "128x128x150")),
        ("trans2seg", ("512x512", "32,859,673", "35.88", "39.77", "40.36", "128x128x150")),
        ("retinanet", ("800x1280", "34,221,300", "285.787", "7x10x256", "191970x80")),
        ("detr", ("800x1280", "25x40x256", "100x81", "100x4")),
        ("mask_rcnn", ("800x1280", "44,138,736", "304.382", "1000x81", "100x28x28x80")),
    ],
)
def test_info_of_a_system(system, texts, capsys):
    assert main(["info", "pvt_small", "--system", system]) == 0
    out = capsys.readouterr().out
    for text in texts:
        assert text in out


def test_info_with_classes(capsys):
    assert main(["info", "pvt_tiny", "--classes", "10"]) == 0
    assert "12,721,418" in capsys.readouterr().out
    assert main(["info", "pvt_tiny", "--system", "semantic_fpn", "--classes", "11"]) == 0
    assert "128x128x11" in capsys.readouterr().out


@pytest.mark.parametrize("pixel", [[], ["--pixel", "31,8"]])
def test_attention_writes_a_picture(nano, pixel, capsys, tmp_path):
    picture = tmp_path / "attention.png"
    words = ["attention", str(IMAGES / "cat.jpg"), *nano, "--size", "32", *pixel]
    assert main([*words, "--out", str(picture)]) == 0
    assert capsys.readouterr() == (f"{picture}\n", "")
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500
    assert list(tmp_path.iterdir()) == [picture]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "absent.jpg"], "no file or folder 'absent.jpg'"),
        (["info", "pvt_tiny", "--size", "31"], "31x31 pixels is too small"),
        (["info", "pvt_tiny", "--backbone", "--classes", "5"], "a backbone has no classes"),
        (["predict", str(IMAGES), "--weights", "absent.pth"], "'absent.pth' is no file"),
        (
            ["attention", "absent.jpg", "--variant", "pvt_nano", "--weights", "WEIGHTS"],
            "absent.jpg",
        ),
        (
            ["attention", str(IMAGES / "cat.jpg"), "--pixel", "32,0", "--size", "32", *NANO],
            "outside the crop of 32x32",
        ),
    ],
)
def test_errors_are_one_line(arguments, message, weights, capsys):
    arguments = [str(weights[0]) if word == "WEIGHTS" else word for word in arguments]
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["info", "pvt_huge"],
        ["info", "pvt_tiny", "--system", "fcos"],
        ["info", "pvt_tiny", "--system", "retinanet", "--backbone"],
        ["info", "pvt_tiny", "--size", "0x32"],
        ["info", "pvt_tiny", "--size", "1x2x3"],
        ["predict", "a.jpg", "--top", "0"],
        ["attention", "a.jpg", "--pixel", "3"],
    ],
)
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: keras-pvt" in capsys.readouterr().err


def test_no_command_shows_the_help(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "classify images" in err
    assert "examples:" in err


def test_a_model_that_is_no_file(capsys, tmp_path):
    words = ["predict", str(IMAGES / "cat.jpg"), "--model"]
    for name in ("nothing.keras", "nothing.safetensors"):
        assert main([*words, str(tmp_path / name)]) == 1
        assert capsys.readouterr().err == f"error: there is no file '{tmp_path / name}'.\n"
    assert main([*words, str(tmp_path)]) == 1
    assert f"{tmp_path} is a folder with no list of shards and no" in capsys.readouterr().err
    (tmp_path / "model.keras").touch()
    assert main([*words, str(tmp_path)]) == 1
    assert f"{tmp_path / 'model.keras'} is no trained model, a .keras" in capsys.readouterr().err


def test_interrupt(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_pvt.cli.info.flops.classifier", interrupt)
    assert main(["info", "pvt_tiny"]) == 130


def test_attention_maps_of_small_images_are_drawn_larger(nano, capsys, tmp_path, monkeypatch):
    """At 32 pixels, stage 4 of PVTNano has 2 x 2 cells; at 224 pixels 14 x 14."""
    drawn = []
    monkeypatch.setattr(
        "keras_pvt.classification.attention_drawing.draw_attention",
        lambda image, rows, *_: drawn.append((image.shape, [row.maps.shape[1:] for row in rows])),
    )
    words = ["attention", str(IMAGES / "cat.jpg")]
    assert main([*words, *nano]) == 0
    assert capsys.readouterr().err == (
        "note: drawn at 224 pixels; at 32 pixels, as pvt_nano was trained, stage 4 has 2x2 cells: "
        "--size 32 draws those\n"
    )
    assert main([*words, *nano, "--pixel", "223,0"]) == 0
    assert main([*words, *nano, "--size", "32"]) == 0
    square = (224, 224, 3)
    assert drawn == [
        (square, [(14, 14)]),
        (square, [(28, 28)] * 3 + [(14, 14)]),
        ((32, 32, 3), [(2, 2)]),
    ]
    model = keras_pvt.PVTNano(weights=None, include_preprocessing=True)
    keras_pvt.save_model(model, tmp_path / "mine.keras", classes=list("abcdefghij"))
    capsys.readouterr()
    assert main([*words, "--model", str(tmp_path / "mine.keras")]) == 0
    mine = tmp_path / "mine.keras"
    assert capsys.readouterr().err == (
        f"note: at 32 pixels, as {mine} was trained, stage 4 has 2x2 cells\n"
    )
    assert main([*words, *nano[:1], "pvt_tiny", "--weights", "none"]) == 0
    assert capsys.readouterr().err == ""
    assert drawn[-2:] == [((32, 32, 3), [(2, 2)]), (square, [(7, 7)] * 2)]


def test_attention_without_matplotlib(monkeypatch, nano, capsys):
    monkeypatch.delitem(sys.modules, "keras_pvt.classification.attention_drawing", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["attention", str(IMAGES / "cat.jpg"), *nano]) == 1
    assert capsys.readouterr().err == (
        'error: drawing needs matplotlib: pip install "keras-pvt[plot]"\n'
    )


@pytest.mark.parametrize("name", ["predict", "convert", "info", "attention"])
def test_help_has_examples(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert f"keras-pvt {name}" in capsys.readouterr().out.split("examples:")[1]


def test_installed_command_converts(tmp_path):
    """As a user runs it: in a process of its own, by the script that pip installs."""
    command = shutil.which("keras-pvt", path=pathlib.Path(sys.executable).parent)
    bundled = pathlib.Path(keras_pvt.__file__).parent / "data" / "pvt_nano_cifar10.safetensors"
    done = subprocess.run(
        [command, "convert", bundled, tmp_path / "nano.npz"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "pvt_nano, 1,805,002 parameters, read back and equal" in done.stdout
    assert (tmp_path / "nano.npz").is_file()


def test_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "keras_pvt", "--version"], capture_output=True, text=True
    )
    assert done.stdout == f"keras-pvt {keras_pvt.__version__}\n"


def test_fractions_are_from_0_to_1():
    assert [arguments.fraction(text) for text in ("0", "0.25", "1")] == [0, 0.25, 1]
    for text in ("-0.1", "1.1", "half", "nan"):
        with pytest.raises(argparse.ArgumentTypeError, match="from 0 to 1"):
            arguments.fraction(text)
