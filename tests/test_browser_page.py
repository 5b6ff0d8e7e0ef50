"""examples/browser: its page in a browser and its JavaScript under node give Keras's numbers."""

import json
import os
import re
import shutil
import subprocess

import numpy as np
import PIL
import pytest
from PIL import ExifTags, Image
from scripts import ROOT, load_script

import keras_pvt
from keras_pvt.detection.data.letterbox import Letterbox
from keras_pvt.variants import WEIGHTS

pytestmark = pytest.mark.one_backend("of files, and of what each backend gives elsewhere")

PHOTOS = ROOT / "examples" / "images"
CELLS = ROOT / "examples" / "cells"
FACTS = WEIGHTS["pvt_nano", "cifar10"]
# Sizes of images, (height, width). Of tall ones Pillow takes the rows first since version 13.
SIZES = [(32, 32), (37, 61), (7, 5), (20, 300), (100, 101)]
if int(PIL.__version__.split(".")[0]) >= 13:
    SIZES.append((500, 33))
PROGRAM = """
import fs from "node:fs";
import * as pixels from "%s";
for (const { file, width, height, call, words } of JSON.parse(fs.readFileSync("cases.json"))) {
  const image = { data: new Uint8Array(fs.readFileSync(file)), width, height };
  const made = pixels[call](image, ...words);
  fs.writeFileSync(`${file}.${call}`, (made.canvas ?? made).data);
}
"""


@pytest.fixture(scope="module")
def build():
    return load_script("examples/browser/build.py")


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node")
def test_pixels_are_those_of_keras_to_the_bit(tmp_path, rng):
    cases, expected = [], {}
    for number, size in enumerate(SIZES):
        image = rng.integers(0, 256, (*size, 3)).astype("uint8")
        for kind in ("crop", "averaged", "sampled"):
            file = tmp_path / f"{number}.{kind}"
            file.write_bytes(image.tobytes())
            if kind == "crop":
                call, words = "evalTransform", [32, 36]
                wanted = keras_pvt.eval_transform(image, *words)
            else:
                call, words = "letterbox", [96, 128, kind == "averaged"]
                scaled = Letterbox.fit(size, (96, 128))
                place = Letterbox(scaled.canvas, size, scaled.target, antialias=kind == "averaged")
                wanted = place.image(image)
            height, width = size
            words = {"file": str(file), "width": width, "height": height, "words": words}
            cases.append({**words, "call": call})
            expected[f"{file}.{call}"] = wanted
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    module = (ROOT / "examples" / "javascript" / "pixels.mjs").as_uri()
    (tmp_path / "program.mjs").write_text(PROGRAM % module)
    subprocess.run(["node", "program.mjs"], cwd=tmp_path, check=True)
    for file, wanted in expected.items():
        with open(file, "rb") as made:
            found = np.frombuffer(made.read(), "uint8").reshape(wanted.shape)
        np.testing.assert_array_equal(found, wanted, err_msg=file)


def test_the_runtime_is_the_published_one(build, tmp_path):
    archive = tmp_path / "onnxruntime-web-1.30.0.tgz"
    archive.write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not what was published: its hash is sha512-"):
        build.check_integrity(archive)


def test_what_the_page_cannot_show_is_refused(build, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="is no ONNX file: keras-pvt export MODEL --format onnx"):
        build.described(PHOTOS / "cat.jpg")
    monkeypatch.setattr(build, "fetch_runtime", lambda folder: folder)
    with pytest.raises(SystemExit, match=r"^error: .*cat\.jpg is no ONNX file"):
        build.main([str(PHOTOS / "cat.jpg"), "--out", str(tmp_path / "index.html")])
    assert not (tmp_path / "index.html").exists()


def test_a_model_is_exported_once_and_again_when_its_weights_are_newer(
    build, tmp_path, monkeypatch
):
    made = []
    for name in ("_nano", "_cells"):
        monkeypatch.setattr(build, name, lambda path: (made.append(path.stem), path.touch()))
    build.bundled(tmp_path)
    build.bundled(tmp_path)
    assert made == ["pvt_nano", "blood_cells"]
    os.utime(tmp_path / "blood_cells.onnx", (0, 0))  # of an earlier detector
    build.bundled(tmp_path)
    assert made == ["pvt_nano", "blood_cells", "blood_cells"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of the bundled models, and of PVTNano that takes normalised images, gives logits."""
    folder = tmp_path_factory.mktemp("page")
    build = load_script("examples/browser/build.py")
    try:
        runtime = build.fetch_runtime(build.BUILT)
    except ValueError as error:
        pytest.skip(str(error))
    models = build.bundled(folder)
    plain = folder / "plain.onnx"
    model = keras_pvt.PVTNano(classifier_activation=None)
    names = [f"</script>{n}" for n in range(10)]
    sizes = {"size": (32, 32), "resize_size": FACTS.resize_size}
    keras_pvt.export(model, plain, "onnx", classes=names, **sizes)
    models.append(build.Shown(plain, []))
    (folder / "index.html").write_text(build.page(models, runtime), "utf-8")
    return folder / "index.html"


@pytest.fixture
def tab(page):
    """The page, opened as a file; nothing may be asked for but the page itself."""
    reason = "needs playwright and Debian's chromium"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    if shutil.which("chromium") is None:
        pytest.skip(reason)
    asked, wrong = [], []
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 360, "height": 740})
        tab.set_default_timeout(300_000)
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: wrong.append(error))  # a builtin cannot be given
        tab.goto(page.as_uri())
        yield tab
        browser.close()
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [page.as_uri()]
    assert wrong == []


def rows(tab):
    """What the page shows: name, number, box."""
    tab.wait_for_selector("#answer[aria-busy=false]")
    return tab.eval_on_selector_all(
        "#found li",
        "rows => rows.map(row => [row.querySelector('span').textContent, "
        "Number(row.querySelector('data').value), (row.dataset.box ?? '').split(' ').map(Number)])",
    )


def given(tab, file):
    tab.wait_for_selector("#answer[aria-busy=false]")
    tab.set_input_files("#file", file)
    tab.locator("#caption", has_text=file.name).wait_for()
    return rows(tab)


@pytest.mark.full("drives a browser")
def test_classes_are_those_of_keras(tab, tmp_path):
    model = keras_pvt.PVTNano(include_preprocessing=True)
    turned, gray, palette = tmp_path / "turned.jpg", tmp_path / "gray.png", tmp_path / "palette.png"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    with Image.open(PHOTOS / "panda.jpg") as image:
        image.save(turned, exif=exif, quality=95)
        image.convert("L").save(gray)
        image.convert("P").save(palette)
    files = [*sorted(PHOTOS.glob("*.jpg")), turned, gray, palette]
    probabilities = {}
    for file in files:
        crop = keras_pvt.eval_transform(file, FACTS.image_size, FACTS.resize_size)
        probabilities[file] = model.predict_on_batch(crop[None])[0]
        found = given(tab, file)
        best = keras_pvt.decode_predictions(probabilities[file][None], 5, "cifar10")[0]
        assert [name for name, *_ in found] == [name for _, name, _ in best], file
        expected = [value for *_, value in best]
        np.testing.assert_allclose([value for _, value, _ in found], expected, atol=1e-4)
    assert tab.inner_text("#caption") == "palette.png, 400 x 266 pixels"
    tab.locator("input[name=model]").nth(2).check()  # takes the same image
    tab.locator("#time", has_text="plain").wait_for()
    found = rows(tab)
    best = np.argsort(-probabilities[palette])[:5]
    assert [name for name, *_ in found] == [f"</script>{n}" for n in best]
    np.testing.assert_allclose(
        [value for _, value, _ in found], probabilities[palette][best], atol=1e-4
    )


@pytest.mark.full("drives a browser")
def test_boxes_are_those_of_keras_and_a_slider_hides_some(tab):
    detector = load_script("examples/detect_cells.py").load()
    files = sorted(CELLS.glob("*.jpg"))
    tab.locator("input[name=model]").nth(1).check()
    tab.wait_for_selector("#found li[data-box]")
    for file, one in zip(files, detector.detect(files, len(files)), strict=True):
        expected = one.above(0.5)
        found = given(tab, file)
        assert [name for name, *_ in found] == [detector.classes[n] for n in expected.labels]
        scores, boxes = [score for _, score, _ in found], [box for *_, box in found]
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)
        np.testing.assert_allclose(boxes, expected.boxes, atol=1e-2)  # pixels
    counts = zip(np.bincount(expected.labels), detector.classes, strict=True)  # all are there
    assert tab.inner_text("#status") == ", ".join(f"{count} {name}" for count, name in counts)
    tab.fill("#threshold", "0.7")
    fewer = rows(tab)
    assert fewer == [row for row in found if row[1] >= 0.7]
    assert 0 < len(fewer) < len(found)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    tab.fill("#threshold", "1")
    assert re.match(r"nothing above 100%; the best is WBC, \d\d", tab.inner_text("#status"))


@pytest.mark.full("drives a browser")
def test_what_is_no_image_is_a_line_and_the_next_one_works(tab, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    rows(tab)
    tab.set_input_files("#file", broken)
    tab.wait_for_selector("#error:not([hidden])")
    expected = "broken.jpg cannot be read as an image by this browser."
    assert tab.inner_text("[role=alert]") == expected
    assert rows(tab) == []
    tab.get_by_role("button", name="horses.jpg").press("Enter")
    tab.wait_for_selector("#found li")
    assert rows(tab)[0][0] == "horse"
    assert not tab.is_visible("#error")
    assert tab.get_by_role("img", name="horses.jpg: horse").is_visible()
