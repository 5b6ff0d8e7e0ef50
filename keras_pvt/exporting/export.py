"""`keras_pvt.export`."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np

from keras_pvt import formats
from keras_pvt.detection.ops.nms import NonMaxSuppression
from keras_pvt.exporting import subject, targets, verification
from keras_pvt.exporting.errors import ExportError
from keras_pvt.exporting.facts import Facts
from keras_pvt.exporting.job import Job
from keras_pvt.exporting.names import check_names, keep
from keras_pvt.exporting.transfer import write
from keras_pvt.models.trained_model import count_classes
from keras_pvt.ops import BACKEND
from keras_pvt.utils.files import replacing


@dataclasses.dataclass(frozen=True)
class Exported:
    """An artifact.

    Args:
        path: of the file or folder.
        format: its name.
        size: in bytes, with the files beside it.
        input_shape: (batch, height, width, channels); None for what is open.
        writer: the backend that wrote it, to which the weights were copied where it is not the
            one that runs.
        comparisons: of its outputs with the model's; empty if not verified.
    """

    path: pathlib.Path
    format: str
    size: int
    input_shape: tuple[int | None, ...]
    writer: str
    comparisons: list[verification.Comparison]

    @property
    def passed(self) -> bool:
        """Whether every output that was compared agrees as it should."""
        return all(comparison.passed for comparison in self.comparisons)


def export(
    model: keras.Model,
    path: str | os.PathLike,
    format: str,
    *,
    size: tuple[int | None, int | None] | None = None,
    batch_size: int | Literal["auto"] | None = "auto",
    quantize: str | None = None,
    representative: np.ndarray | None = None,
    include_preprocessing: bool = False,
    argmax: bool = False,
    opset: int | None = None,
    classes: Sequence[str] | None = None,
    resize_size: int | None = None,
    overwrite: bool = False,
    verify: bool = True,
) -> Exported:
    """Export a model to a format that runs without Keras, and run the exported file.

    Each format has backends that write it: TensorFlow writes SavedModel and TFLite, PyTorch and
    TensorFlow write ONNX and OpenVINO. Under any other backend, a separate process writes a copy of
    the model. The input is named "images", float32 `(B, H, W, channels)`; outputs have the names of
    their layers ("predictions"). The outputs of a backbone are named after the levels of the
    pyramid, "P2" to "P5", and that of a segmentation model is "logits" or "labels". A model in half
    precision is exported in float32.

    Args:
        model: functional model with one image input, such as any model of keras_pvt; any backend.
        path: the artifact to write: a folder for "saved_model"; otherwise a file that ends in
            .tflite, .onnx or .xml (OpenVINO, with a .bin next to it).
        format: "saved_model", "tflite", "onnx" or "openvino".
        size: (height, width) in pixels of the images, None for what is open; by default as the
            model was built.
        batch_size: images in a batch, None for any number; by default 1 for TFLite, where that is
            faster, and any for the others.
        quantize: None keeps float32. "float16" halves the weights (TFLite and OpenVINO). For
            TFLite: "dynamic" keeps weights in int8; "int8" also computes dense layers and
            convolutions in int8, everything else in float32; "full-int8" computes everything in
            int8, with int8 inputs and outputs, for integer-only chips.
        representative: images as the model takes them, `(N, H, W, channels)` float, N about 100:
            for "int8" and "full-int8", to calibrate the range of the activations, and for the
            verification.
        include_preprocessing: let the artifact take RGB 0..255 and normalise inside.
        argmax: let the artifact of a segmentation model give the number of the class of each
            pixel, int32 `(B, H, W)`, instead of logits `(B, H, W, K)`.
        opset: opset of ONNX, for runtimes that do not read the newest; docs/export.md lists the
            possible ones. The file declares the oldest version of the format (its IR) that has the
            opset.
        classes: class names in the order of the outputs, which the artifact stores; docs/export.md
            says where, and `keras_pvt.exporting.class_names` reads them.
        resize_size: for a classifier, the pixels that the short side of an image is scaled to
            before the crop; `keras-pvt evaluate` uses it. By default it follows the official rule.
        overwrite: whether an artifact at `path` may be replaced.
        verify: run model and artifact on the same images and compare.
    Returns:
        A description of the artifact. Its `comparisons` also tell if a quantized artifact's cosine
        is smaller than usual.
    Raises:
        ExportError: the model or size cannot be exported, or the float32 artifact does not give the
            model's outputs.
        ValueError: an unknown format or quantization; images missing or of a wrong shape; names
            that are not distinct, or not as many as the classes.
        ImportError: a package is missing; says what to install.
        OSError: the target exists or cannot be written. No partial file is left.
    """
    path = pathlib.Path(path)
    writer = check_request(path, format, quantize, opset, overwrite, verify)
    names = None if classes is None else check_names(classes, count_classes(model))
    whole, model = model, subject.named(model, include_preprocessing, argmax)
    if batch_size == "auto":
        batch_size = formats.FORMATS[format].batch_size
    shape = subject.signature(model, size, batch_size)
    _check_images(shape, quantize, representative)
    _check_suppression(model, quantize)
    comparisons = []
    with _naming_the_cause(model, shape), replacing(path) as temporary:
        needed = representative if quantize in formats.NEED_IMAGES else None
        write(model, Job(format, temporary, shape, quantize, opset), needed, writer)
        facts = Facts.of_model(whole, model, shape, resize_size)
        keep(format, temporary, facts.text(), names)
        if verify:
            comparisons = verification.compare(
                model, format, temporary, shape, quantize, representative
            )
        exported = Exported(path, format, targets.size_of(temporary), shape, writer, comparisons)
        if quantize is None and not exported.passed:
            failed = [comparison for comparison in comparisons if not comparison.passed]
            worst = max(failed, key=lambda comparison: comparison.error)
            raise ExportError(
                f"the {format} differs from its model by {worst.difference} in "
                f"{worst.output!r} at {worst.input_shape}, more than "
                f"{worst.allowed}; nothing was written to {path}."
            )
    return exported


@contextlib.contextmanager
def _naming_the_cause(model, shape):
    """An error tells of what most come from: an open size, and a model that Keras has quantized."""
    try:
        yield
    except ExportError as error:
        modes = {layer.quantization_mode for layer in model._flatten_layers()} - {None}
        message = str(error).rstrip()
        if None in shape[1:3]:
            message = (
                f"{message.rstrip('.')}. Height and width are open; where a format or its runtime "
                "cannot have that, a fixed `size` (--size HxW) helps."
            )
        if not modes:
            raise ExportError(message) from error
        raise ExportError(
            f"{message} Keras has quantized this model ({', '.join(sorted(modes))}), which this "
            "format or its converter cannot express: export the model as it was before, with "
            "`quantize` (--quantize) of the export."
        ) from error


def check_request(
    path: pathlib.Path,
    format: str,
    quantize: str | None,
    opset: int | None,
    overwrite: bool,
    verify: bool,
) -> str:
    """All that can be said before there is a model.

    Returns:
        The backend that will write.
    Raises:
        ValueError, ImportError, OSError: see `export`.
    """
    formats.check(format, quantize, opset)
    formats.check_path(format, path)
    targets.check(path, folder=not formats.FORMATS[format].suffix, overwrite=overwrite)
    return formats.choose_writer(format, quantize, opset, verify, BACKEND)


def _check_suppression(model, quantize):
    # A loop, in which AI Edge Quantizer finds no ranges, and boxes, which 256 values do not tell.
    if quantize in formats.NEED_IMAGES and any(
        isinstance(layer, NonMaxSuppression) for layer in model._flatten_layers()
    ):
        raise ExportError(
            f"a model with NonMaxSuppression inside is not quantized as {quantize!r}: take "
            "'dynamic' or 'float16', or export the detector without it."
        )


def _check_images(shape, quantize, images):
    if quantize in formats.NEED_IMAGES:
        if images is None or not len(images):
            raise ValueError(
                f"quantize {quantize!r} needs `representative` images (--representative FOLDER), "
                "about 100 of what the model will see."
            )
        if None in shape[1:]:
            raise ValueError(
                f"quantize {quantize!r} needs a fixed size; got {shape[1:3]}. Pass `size`."
            )
    if images is not None:
        fits = images.ndim == 4 and all(
            side in (None, own) for side, own in zip(shape[1:], images.shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(
                f"`representative` must be images of (N, height, width, channels) that fit "
                f"{shape}; got {images.shape}."
            )
