"""What tells one artifact from another: the model, and the versions of what wrote and runs it."""

import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import sys
import uuid
from typing import Any

from keras_pvt import formats
from keras_pvt.engines.table import ENGINES
from keras_pvt.utils.files import sha256_of


def digest(*parts: Any) -> str:
    """32 hexadecimal digits of anything that JSON can tell."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def of_model(model) -> str:
    """sha256 of a Keras model: its configuration but for its name, its weights, and the code of
    layers that are neither Keras's nor of this package."""
    found = hashlib.sha256(
        json.dumps({**model.get_config(), "name": None}, sort_keys=True, default=str).encode()
    )
    found.update(_code_of(model).encode())
    for weight, value in zip(model.weights, model.get_weights(), strict=True):
        found.update(f"{weight.path} {value.dtype} {value.shape}".encode())
        found.update(value.tobytes())
    return found.hexdigest()


def of_loaded(model, file: str) -> str:
    """Of a Keras model that is as its file has it: for this Keras need not describe it, which would
    import TensorFlow, for seconds, where that is installed.

    Args:
        model: the model.
        file: what tells its file from others.
    """
    import keras

    settings = keras.config.dtype_policy().name, keras.config.image_data_format()
    return digest(file, _code_of(model), settings)


def _code_of(model) -> str:
    """Of the files that layers of others come from: these have no version that is known here."""
    modules = {type(layer).__module__ for layer in model._flatten_layers()}
    known = ("keras.", "keras_pvt.")
    files = [
        getattr(sys.modules.get(name), "__file__", None)
        for name in sorted(modules)
        if not name.startswith(known)
    ]
    # What was typed has no file, and might be typed otherwise the next time.
    return digest([sha256_of(pathlib.Path(file)) if file else uuid.uuid4().hex for file in files])


def of_folder(folder: pathlib.Path) -> str:
    """Of the files of a folder, and of those below it: names, sizes and times.

    Raises:
        NotADirectoryError: there is no such folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{os.fspath(folder)} is no folder of representative images.")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    facts = [(file, file.stat()) for file in files]
    return digest(
        [(str(file.relative_to(folder)), one.st_size, one.st_mtime_ns) for file, one in facts]
    )


def versions(engine: str, precision: str, backend: str) -> dict[str, str]:
    """Versions of what writes and what runs an artifact: none of another set is taken.

    Args:
        engine: name of a row of the table.
        precision: that it computes in.
        backend: that Keras has.
    Raises:
        ImportError: what writes the artifact is not installed; says what to install.
    """
    row = ENGINES[engine]
    quantize = row.precisions[precision]
    writer = formats.choose_writer(row.format, quantize, None, True, backend)
    chosen = formats.FORMATS[row.format]
    packages = [
        "keras_pvt", "keras", writer, row.package,
        *chosen.writers[writer], *chosen.quantizations.get(quantize or "", ()),
    ]  # fmt: skip
    return {name: version(name) for name in dict.fromkeys(packages)}


@functools.cache
def version(package: str) -> str:
    """The version of an installed package, by the name that it is imported by."""
    for name in (package, f"{package}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
