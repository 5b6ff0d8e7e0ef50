"""Make a page of one file, which runs exported models in a browser without a server.

python examples/browser/build.py
python examples/browser/build.py flowers.onnx boxes.onnx --samples photos/

By default the page has the two small models that come along: PVTNano and the detector of blood
cells. Others are written by `keras-pvt export MODEL --format onnx`. onnxruntime-web comes from
npm, of a fixed version whose hash is checked. The page is opened as a file: browsers let it load
no other file, so that everything is inside.
"""

import argparse
import base64
import dataclasses
import gzip
import hashlib
import html
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from typing import Any, NamedTuple

import keras_pvt
from keras_pvt.detection.serving import serving_model
from keras_pvt.exporting.facts import Facts
from keras_pvt.exporting.names import class_names, facts_of, format_of
from keras_pvt.utils.colours import colours, ink
from keras_pvt.utils.image_files import image_files
from keras_pvt.utils.images import default_resize_size
from keras_pvt.variants import WEIGHTS
from keras_pvt.weights import find

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLES = HERE.parent
BUILT = HERE / "built"  # is not committed
RUNTIME = "onnxruntime-web@1.30.0"
INTEGRITY = (  # as npm states it
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
# WebAssembly alone: the other builds are for GPUs, and twice as large.
SCRIPT, MACHINE = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
TASKS = ("classification", "detection")


class Shown(NamedTuple):
    """A model of the page.

    Args:
        path: of the ONNX file.
        samples: image files and folders.
    """

    path: pathlib.Path
    samples: list[pathlib.Path]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=pathlib.Path, help="ONNX files")
    parser.add_argument(
        "--samples",
        nargs="*",
        type=pathlib.Path,
        default=[],
        help="image files and folders that the page offers for the models that are given",
    )
    parser.add_argument("--out", type=pathlib.Path, default=BUILT / "index.html")
    options = parser.parse_args(arguments)
    out = options.out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        runtime = fetch_runtime(BUILT)
        if options.models:
            models = [Shown(path, options.samples) for path in options.models]
        else:
            models = bundled(BUILT)
        out.write_text(page(models, runtime), "utf-8")
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{out.stat().st_size / 1e6:.1f} MB; open it in a browser: {out.as_uri()}")


def fetch_runtime(folder: pathlib.Path) -> pathlib.Path:
    """The folder of onnxruntime-web's files, which npm fetches if they are not there.

    Args:
        folder: to keep them in.
    Raises:
        ValueError: there is no npm, it cannot fetch, or the hash is another.
    """
    target = folder / RUNTIME
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(
            "npm fetches onnxruntime-web, and is not installed; it comes with Node.js."
        )
    print(f"fetching {RUNTIME}, 33 MB", flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        command = [npm, "pack", RUNTIME, "--silent"]
        done = subprocess.run(command, cwd=temporary, capture_output=True, text=True)
        archives = list(pathlib.Path(temporary).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            raise ValueError(f"npm cannot fetch {RUNTIME}: {done.stderr.strip()[-300:]}")
        check_integrity(archives[0])
        files = pathlib.Path(temporary, "files")
        files.mkdir()
        with tarfile.open(archives[0]) as archive:
            for name in (SCRIPT, MACHINE):
                member = archive.extractfile(f"package/dist/{name}")
                assert member is not None
                (files / name).write_bytes(member.read())
        files.rename(target)
    return target


def check_integrity(archive: pathlib.Path, integrity: str = INTEGRITY) -> None:
    """Raise a `ValueError` unless a file has the hash that npm states for it."""
    digest = hashlib.sha512(archive.read_bytes()).digest()
    found = f"sha512-{base64.b64encode(digest).decode()}"
    if found != integrity:
        raise ValueError(
            f"{archive.name} is not what was published: its hash is {found}, and not {integrity}."
        )


def bundled(folder: pathlib.Path) -> list[Shown]:
    """The two small models, exported once, and again when their weights are newer."""
    found = []
    for name, make, weights, samples in (
        ("pvt_nano", _nano, find("pvt_nano", "cifar10"), EXAMPLES / "images"),
        ("blood_cells", _cells, _detect_cells().WEIGHTS, EXAMPLES / "cells"),
    ):
        path = folder / f"{name}.onnx"
        if not path.is_file() or path.stat().st_mtime < weights.stat().st_mtime:
            print(f"exporting {path.name}; this takes a minute or two", flush=True)
            make(path)
        found.append(Shown(path, sorted(samples.glob("*.jpg"))))
    return found


def _nano(path):
    facts = WEIGHTS["pvt_nano", "cifar10"]
    size = (facts.image_size, facts.image_size)
    classes = keras_pvt.classification.decoding.named_classes(facts.classes)
    keras_pvt.export(
        keras_pvt.PVTNano(include_preprocessing=True),
        path,
        "onnx",
        size=size,
        classes=[name for _, name in classes],
        resize_size=facts.resize_size,
    )


def _detect_cells():
    """The program of the demo."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        import detect_cells
    finally:
        sys.path.remove(str(EXAMPLES))
    return detect_cells


def _cells(path):
    detector = _detect_cells().load()
    model = serving_model(detector)
    keras_pvt.export(model, path, "onnx", size=detector.size, classes=detector.classes)


def described(path: pathlib.Path) -> dict[str, Any]:
    """What the page has to know of an artifact.

    Raises:
        ValueError: the page cannot use it.
    """
    if format_of(path) != "onnx":
        raise ValueError(f"{path} is no ONNX file: keras-pvt export MODEL --format onnx")
    text, classes = facts_of(path), class_names(path)
    if text is None:
        raise ValueError(f"{path} was not written by this version's keras_pvt.export.")
    facts = Facts.of_text(text)
    batch, *size, channels = facts.shape
    if facts.task not in TASKS:
        raise ValueError(f"{path} is for {facts.task}; the page shows {' and '.join(TASKS)}.")
    if None in size or batch not in (None, 1) or channels != 3:
        raise ValueError(
            f"{path} takes images of {facts.shape}; the page needs one image, of 3 channels and a "
            "fixed size: export with --size."
        )
    if facts.task == "classification" and (size[0] != size[1] or facts.logits is None):
        raise ValueError(f"{path} takes no square images, or does not say what it gives.")
    if not classes:
        raise ValueError(f"{path} names no classes: export with --classes FILE.")
    own = colours(classes)
    return {
        **{key: value for key, value in dataclasses.asdict(facts).items() if key != "shape"},
        "name": path.stem,
        "size": size,
        "resize": facts.resize_size or default_resize_size(size[0]),
        "classes": classes,
        "colours": [f"#{bytes(colour).hex()}" for colour in own],
        "inks": [ink(colour) for colour in own],
    }


def page(models: list[Shown], runtime: pathlib.Path) -> str:
    """The page: text that needs no other file.

    Args:
        models: at least one.
        runtime: folder of onnxruntime-web's files.
    Raises:
        ValueError: see `described`.
    """
    packed = {"runtime": runtime / MACHINE}
    facts: dict[str, Any] = {"runtime": "runtime", "models": []}
    for number, model in enumerate(models):
        packed[f"model-{number}"] = model.path
        samples = [_sample(path) for path in image_files(model.samples)] if model.samples else []
        own = {**described(model.path), "file": f"model-{number}", "samples": samples}
        facts["models"].append(own)
    modules = {
        "onnxruntime-web": _data("text/javascript", runtime / SCRIPT),
        "pixels": _data("text/javascript", EXAMPLES / "javascript" / "pixels.mjs"),
    }
    assets = [
        f'<script type="importmap">{json.dumps({"imports": modules})}</script>',
        # Names of classes and files are the user's: no tag may end in them.
        f'<script type="application/json" id="assets">{_in_script(facts)}</script>',
        *(
            f'<script type="text/plain" id="{name}">{_packed(path)}</script>'
            for name, path in packed.items()
        ),
    ]
    filling = {
        "style.css": (HERE / "style.css").read_text("utf-8"),
        "page.mjs": (HERE / "page.mjs").read_text("utf-8"),
        "assets": "\n".join(assets),
        "footer": html.escape(f"Computed by {RUNTIME} (MIT licence, Microsoft), in WebAssembly."),
    }
    text = (HERE / "template.html").read_text("utf-8")
    for name, content in filling.items():
        before, _, after = text.partition(f"<!-- built: {name} -->")
        text = before + content + after
    return text


def _in_script(content):
    return json.dumps(content).replace("<", "\\u003c")


def _packed(path):
    return base64.b64encode(gzip.compress(path.read_bytes(), 9, mtime=0)).decode()


def _data(kind, path):
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _sample(path):
    kind = "image/png" if path.suffix.lower() == ".png" else "image/jpeg"
    return {"name": path.name, "url": _data(kind, path)}


if __name__ == "__main__":
    main()
