"""Writing an artifact, by this process or by one that runs another backend."""

import dataclasses
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np

from keras_pvt.exporting.errors import ExportError, one_line, reason
from keras_pvt.exporting.job import Job
from keras_pvt.ops import BACKEND

_MODEL, _JOB, _IMAGES, _ERROR = "model.keras", "job.json", "images.npy", "error.txt"


def write(model: keras.Model, job: Job, images: np.ndarray | None, writer: str) -> None:
    """Write an artifact by a backend: here if it runs here, else in a process of its own, which
    gets the model as a `.keras` file.

    Args:
        model: as `named` gives it.
        job: what to write.
        images: representative images, for a quantization that needs them.
        writer: the backend.
    Raises:
        ExportError: the backend cannot write this model.
    """
    if writer == BACKEND:
        _write_here(model, job, images)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        model.save(folder / _MODEL)
        settings = dataclasses.asdict(job) | {"modules": _modules(model)}
        (folder / _JOB).write_text(json.dumps(settings, default=os.fspath))
        if images is not None:
            np.save(folder / _IMAGES, images, allow_pickle=False)
        environment = os.environ | {"KERAS_BACKEND": writer, "TF_CPP_MIN_LOG_LEVEL": "2"}
        result = subprocess.run(
            [sys.executable, "-m", __spec__.name, name],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if result.returncode:
            error = folder / _ERROR
            raise ExportError(error.read_text() if error.exists() else one_line(result.stdout))


def _write_here(model, job, images):
    writers = importlib.import_module(f"keras_pvt.exporting.on_{BACKEND}")
    function = getattr(writers, job.format)
    try:
        function(model, job, images)
    except OSError:
        raise
    except Exception as error:  # each converter has kinds of its own
        raise ExportError(
            f"{BACKEND} cannot write this model as {job.format}: {reason(error)}"
        ) from error


def _modules(model):
    """Where the classes of the layers come from: they have to be known where it is loaded."""
    modules = {type(layer).__module__ for layer in model._flatten_layers()}
    return sorted(name for name in modules if not name.startswith(("keras.", "__main__")))


def _main(folder: pathlib.Path) -> int:
    job = json.loads((folder / _JOB).read_text())
    images = folder / _IMAGES
    try:
        for module in job.pop("modules"):
            importlib.import_module(module)
        model = keras.saving.load_model(folder / _MODEL, compile=False, safe_mode=True)
        job |= {"path": pathlib.Path(job["path"]), "shape": tuple(job["shape"])}
        _write_here(model, Job(**job), np.load(images) if images.exists() else None)
    except Exception as error:  # whatever it is, the process that waits has to say it
        (folder / _ERROR).write_text(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(pathlib.Path(sys.argv[1])))
