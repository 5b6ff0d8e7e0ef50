"""What the page of `keras-pvt app` shows: from its functions, its server, and in a browser."""

import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import keras_pvt
from keras_pvt.app import models
from keras_pvt.app.models import open_model
from keras_pvt.cli import main
from keras_pvt.detection.results import Detections
from keras_pvt.utils.images import ImageError
from keras_pvt.variants import WEIGHTS

pytestmark = pytest.mark.one_backend("of NumPy, and of what each backend gives elsewhere")

IMAGES = pathlib.Path(__file__).parents[1] / "examples" / "images"
CLASSES = ("wren", "kite", "tern")


class Named(NamedTuple):
    """A model as `keras_pvt.evaluation.named.Named` gives it, of what a test says."""

    found: object
    source: str = "folder/birds.keras"
    artifact: object = None
    classes: object = None

    def detector(self):
        return self.found, True

    def segmenter(self, size):
        return self.found, CLASSES


class Finder:
    """A detector that finds the same four boxes in each image."""

    classes = CLASSES

    def __init__(self):
        self.calls = 0

    def detect(self, files, batch_size):
        self.calls += 1
        boxes = [[0, 0, 4, 3], [5, 1, 9, 7], [1, 2, 8, 6], [2.4, 0.6, 3.5, 1]]
        scores, masks = [0.9, 0.7, 0.5, 0.2], np.ones((4, 2, 2), "float32")
        masks[1] = 0
        boxes, scores = np.array(boxes, "float32"), np.array(scores, "float32")
        yield Detections(files[0], boxes, scores, np.array([2, 0, 2, 1]), size=(8, 10), masks=masks)


class Labels:
    """A segmenter that says: three rows of kite, one of tern, four of wren."""

    def labels(self, image):
        rows = np.repeat(np.array([1, 2, 0], "uint8"), [3, 1, 4])
        return np.repeat(rows[:, None], image.shape[1], axis=1)


@pytest.fixture
def picture(tmp_path):
    """A gray image file of 10 x 8 pixels."""
    path = tmp_path / "gray.png"
    Image.new("RGB", (10, 8), (90, 90, 90)).save(path)
    return path


@pytest.fixture(scope="module")
def nano():
    return open_model("pvt_nano")


@functools.cache
def expected(name):
    """Probabilities by the functions that users have, and the crop."""
    facts = WEIGHTS["pvt_nano", "cifar10"]
    crop = keras_pvt.eval_transform(IMAGES / name, facts.image_size, facts.resize_size)
    model = keras_pvt.PVTNano(include_preprocessing=True)
    best = keras_pvt.decode_predictions(model.predict_on_batch(crop[None]), 10, "cifar10")[0]
    return {name: value for _, name, value in best}, crop


def test_a_classifier_answers_as_keras_does(nano):
    wanted, crop = expected("cat.jpg")
    answer = nano.answer(IMAGES / "cat.jpg")
    assert [name for name, _ in answer.rows] == list(wanted)[: models.TOP]
    assert dict(answer.rows) == pytest.approx(dict(list(wanted.items())[:5]), abs=1e-5)
    np.testing.assert_array_equal(np.asarray(answer.picture), crop)
    assert answer.note == ""
    chosen = nano.answer(IMAGES / "cat.jpg", 0.1, ["dog", "frog", "cat"])
    assert [name for name, _ in chosen.rows] == ["cat", "dog"]
    none = nano.answer(IMAGES / "cat.jpg", 1.0, ["dog"])
    assert none.rows == []
    assert none.note == f"nothing above 1; the best is dog, {wanted['dog']:.4f}"


def test_a_detector_by_threshold_and_class(picture):
    finder = Finder()
    shown = models._Detector(Named(finder))
    assert shown.title == "birds.keras"
    answer = shown.answer(picture, 0.5)
    assert answer.rows == [
        ("tern", pytest.approx(0.9), 0, 0, 4, 3),
        ("wren", pytest.approx(0.7), 5, 1, 9, 7),
        ("tern", pytest.approx(0.5), 1, 2, 8, 6),
    ]
    pixels = np.asarray(answer.picture)
    assert pixels.shape == (8, 10, 3)
    of_kites = shown.answer(picture, 0.2, ["kite"])
    assert of_kites.rows == [("kite", pytest.approx(0.2), 2, 1, 4, 1)]
    changed = (np.asarray(of_kites.picture) != 90).any(axis=-1)
    assert changed[:2].any()  # the box of the kite
    assert not changed[4:].any()  # no mask of a tern
    assert shown.answer(picture, 0.5, ["kite"]).note == "nothing above 0.5; the best is 0.2000"
    assert finder.calls == 1
    picture.write_bytes((IMAGES / "cat.jpg").read_bytes())
    os.utime(picture, ns=(1, 1))
    shown.answer(picture)
    assert finder.calls == 2  # another file of that name


def test_a_segmenter_by_class(picture):
    shown = models._Segmenter(Named(Labels()))
    assert shown.answer(picture, 1.0).rows == [("wren", 0.5), ("kite", 0.375), ("tern", 0.125)]
    only = shown.answer(picture, chosen=["kite"])
    assert only.rows == [("kite", 0.375)]
    changed = (np.asarray(only.picture)[:8, :10] != 90).any(axis=-1)
    assert changed[:3].all()
    assert not changed[3:].any()


def test_what_is_no_image_or_too_large_is_refused(nano, picture, monkeypatch):
    monkeypatch.setattr(models, "MAX_PIXELS", 79)
    with pytest.raises(ImageError, match=r"^gray.png has 10 x 8 pixels; 0 million are the most"):
        nano.answer(picture)
    monkeypatch.setattr(models, "MAX_PIXELS", 80)
    assert nano.answer(picture).rows
    picture.write_bytes(picture.read_bytes()[:45])
    with pytest.raises(ImageError, match=r"^gray.png cannot be read as an image: ") as error:
        nano.answer(picture)
    assert os.fspath(picture.parent) not in str(error.value)


def test_an_artifact_has_neither_attention_nor_export(picture, tmp_path):
    shown = models._Segmenter(Named(Labels(), artifact=object()))
    with pytest.raises(ValueError, match="has no attention maps"):
        shown.attention(picture)
    with pytest.raises(ValueError, match="is exported already"):
        shown.export("onnx", tmp_path)


def test_attention_at_a_size_that_shows_something(nano):
    picture, note = nano.attention(IMAGES / "cat.jpg")
    assert note == "attention is drawn at 224 pixels, classes are those at 32"
    assert picture.width > 1000
    assert nano.attention(IMAGES / "cat.jpg")[0] is picture  # not drawn again


def test_without_gradio_the_error_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "keras_pvt.app.page", raising=False)
    assert main(["app", "--no-browser"]) == 1
    assert 'pip install "keras-pvt[app]"' in capsys.readouterr().err


@pytest.fixture
def page(tmp_path, nano, monkeypatch):
    """The page of three models."""
    pytest.importorskip("gradio", reason="Gradio is not installed (the extra app)")
    from keras_pvt.app import page

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    own = [nano, models._Detector(Named(Finder())), models._Segmenter(Named(Labels()))]
    return page.Page(own, tmp_path)


def test_the_page_fills_its_components(page, picture):
    files = [(str(IMAGES / "cat.jpg"), None), (str(picture), None)]
    shown = page.show(files, 7, 0.6, ["tern", "wren", "bird"])
    assert shown[0].startswith("nothing above 0.6; the best is bird")
    assert shown[1] == {}
    assert shown[4] == [["tern", 0.9, 0, 0, 4, 3], ["wren", 0.7, 5, 1, 9, 7]]
    assert shown[7] == [["wren", 0.5], ["tern", 0.125]]
    line, _, drawn, *_ = page.show(files[:1], 0, 0.0, [], attention=True)
    assert line == "attention is drawn at 224 pixels, classes are those at 32"
    assert drawn.width > 1000
    assert page.changed(files, 1, 0) == (1, 2)
    assert page.changed(files, 3, 1) == (1, 2)
    assert page.changed(None, 2, 1) == (1, 0)
    empty = page.show(None, 0, 0.0, [])
    assert empty == ["drop an image, or choose one", None, None] * 3


def test_an_error_is_a_line_and_hides_no_other_model(page, picture, monkeypatch):
    def fail(*_):
        raise ValueError("no <b>\nmemory")

    monkeypatch.setattr(page.models[1], "_find", fail)
    monkeypatch.setattr(page.models[1], "_kept", fail)
    shown = page.show([(str(picture), None)], 0, 0.0, [])
    assert shown[3:6] == ["error: no &lt;b&gt; memory", None, None]
    assert shown[7]
    line, files = page.export("birds.keras", "onnx")
    assert (line[:6], files) == ("error:", None)


@contextlib.contextmanager
def serving(*words):
    """The command in a process of its own, with the address that it prints."""
    command = [sys.executable, "-m", "keras_pvt", "app", *words, "--no-browser"]
    env = {**os.environ, "GRADIO_ALLOWED_PATHS": "/", "GRADIO_SERVER_NAME": "0.0.0.0"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            line = process.stdout.readline()
            yield re.match(r"http://127.0.0.1:\d+/", line)[0], process.pid
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


@pytest.mark.full("starts a server")
def test_the_server_answers_as_keras_does_and_gives_no_other_files(tmp_path):
    gradio_client = pytest.importorskip("gradio_client", reason="Gradio is not installed")
    psutil = pytest.importorskip("psutil")
    import requests

    large, pixels = tmp_path / "large.png", tmp_path / "pixels.png"
    large.write_bytes(bytes(21 << 20))
    Image.new("1", (10_000, 5_001)).save(pixels)
    with serving() as (url, pid):
        addresses = {c.laddr.ip for c in psutil.Process(pid).net_connections() if not c.raddr}
        assert addresses == {"127.0.0.1"}
        config = requests.get(f"{url}config", timeout=9).json()
        assert config["analytics_enabled"] is False
        buttons = [c["props"]["buttons"] for c in config["components"] if c["type"] == "image"]
        assert buttons == [["download", "fullscreen"]]  # none that shares
        client = gradio_client.Client(url, download_files=str(tmp_path), verbose=False)

        def show(file):
            image = {"image": gradio_client.handle_file(file), "caption": None}
            return client.predict([image], 0, 0.0, [], False, api_name="/show")

        _, found, _ = show(IMAGES / "dog.jpg")
        got = {one["label"]: one["confidence"] for one in found["confidences"]}
        assert got == pytest.approx(dict(list(expected("dog.jpg")[0].items())[:5]), abs=1e-5)
        assert show(pixels)[0].startswith("error: pixels.png has 10000 x 5001 pixels; 50 million")
        for file in ("/etc/hostname", "pyproject.toml", __file__):
            where = f"{url}gradio_api/file={os.path.abspath(file)}"
            assert requests.get(where, timeout=9).status_code == 403
        stolen = {"image": {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}}
        with pytest.raises(gradio_client.exceptions.AppError):
            client.predict([stolen], 0, 0.0, [], False, api_name="/show")
        with large.open("rb") as file:
            sent = requests.post(f"{url}gradio_api/upload", files={"files": file}, timeout=30)
        assert sent.status_code == 413


@pytest.mark.full("drives a browser")
def test_in_a_browser(tmp_path):
    reason = "needs Gradio, playwright and Debian's chromium"
    pytest.importorskip("gradio", reason=reason)
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    if shutil.which("chromium") is None:
        pytest.skip(reason)
    hosts, shown = set(), []

    def asked(request):
        hosts.add(request.url.partition("//")[2].split("/")[0])
        if "queue/join" in request.url:
            words = json.loads(request.post_data)["data"]
            if len(words) == 5:  # of `Page.show`
                shown.append((len(words[0] or ()), words[1]))

    with serving() as (url, _), playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page()
        tab.on("request", asked)
        tab.goto(url)
        files = [IMAGES / "cat.jpg", IMAGES / "horses.jpg"]
        tab.locator("input[type=file]").first.set_input_files(files)
        heading = tab.locator("[data-testid=label-output-value]")
        playwright.expect(heading).to_have_text("cat", timeout=30_000)
        tab.get_by_label(re.compile("^Thumbnail 2")).click()
        best = next(iter(expected("horses.jpg")[0]))
        playwright.expect(heading).to_have_text(best, timeout=30_000)
        tab.locator("input[type=file]").first.set_input_files(IMAGES / "dog.jpg")
        playwright.expect(heading).to_have_text("dog", timeout=30_000)
        tab.get_by_label("Delete image").last.dispatch_event("click")  # seen under the pointer
        playwright.expect(heading).to_have_text(best, timeout=30_000)
        tab.get_by_label("Clear").click()
        playwright.expect(tab.get_by_text("drop an image, or choose one")).to_be_visible(
            timeout=30_000
        )
        # What was dropped, chosen, added: each is shown once. A click that removes may select too.
        assert shown[:3] == [(2, 0), (2, 1), (3, 2)]
        assert shown[-1] == (0, 2)
        tab.get_by_text("export", exact=True).first.click()
        tab.get_by_role("button", name="export", exact=True).last.click()
        playwright.expect(tab.get_by_text("pvt_nano.")).to_be_visible(timeout=300_000)
        browser.close()
    assert hosts <= {url.split("/")[2], ""}
