"""The formats of exports: who writes them, what runs them, and how they can be quantized.

Standard library only, as the command line reads the table for its help.
"""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Mapping

from keras_pvt.utils.extras import install_command

# Package to the extra that brings it.
EXTRAS = {
    "tensorflow": "tensorflow",
    "torch": "torch",
    "ai_edge_litert": "tflite",
    "ai_edge_quantizer": "tflite",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "onnxruntime": "onnx",
    "tf2onnx": "onnx",
    "openvino": "openvino",
}


@dataclasses.dataclass(frozen=True)
class Format:
    """A format. To add one: a row here, a writer, a runner, and `EXTRAS` for a new package.

    Args:
        suffix: of the file; "" for a folder.
        writers: the backends that can write it, the best first, each with the packages that it
            needs for that. The writer is the function of the format's name in
            `keras_pvt.exporting.on_BACKEND`.
        runtime: package that runs the artifact. Its runner is in
            `keras_pvt.runtimes.RUNNERS`.
        quantizations: what `quantize` may be, each with the packages that it needs.
        batch_size: that it gets by default; None for any.
        beside: suffix of a second file of the same stem; "" for none.
        opsets: versions of ONNX's operators that each writer can be asked for.
    """

    suffix: str
    writers: Mapping[str, tuple[str, ...]]
    runtime: str
    quantizations: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    batch_size: int | None = None
    beside: str = ""
    opsets: Mapping[str, range] = dataclasses.field(default_factory=dict)


FORMATS = {
    "saved_model": Format("", {"tensorflow": ()}, "tensorflow"),
    "tflite": Format(
        ".tflite",
        {"tensorflow": ()},
        "ai_edge_litert",
        {
            "float16": (),
            "dynamic": ("ai_edge_litert",),
            "int8": ("ai_edge_quantizer",),
            "full-int8": (),
        },
        batch_size=1,  # with open sizes the graph cannot be delegated in one piece
    ),
    "onnx": Format(
        ".onnx",
        {"torch": ("onnx", "onnxscript"), "tensorflow": ("tf2onnx",)},
        "onnxruntime",
        # From the oldest in which torch's LayerNorm, and TensorFlow's file of IR 8, can be told.
        opsets={"torch": range(17, 24), "tensorflow": range(15, 19)},
    ),
    "openvino": Format(
        ".xml",
        {"tensorflow": ("openvino",), "torch": ("openvino", "onnx", "onnxscript")},
        "openvino",
        {"float16": ()},
        beside=".bin",
    ),
}
QUANTIZATIONS = tuple(dict.fromkeys(q for f in FORMATS.values() for q in f.quantizations))
# Numbers of the activations are only known from images.
NEED_IMAGES = ("int8", "full-int8")


def check(format: str, quantize: str | None, opset: int | None) -> None:
    """Raise a ValueError for an unknown format, or what it does not have of the other two."""
    if format not in FORMATS:
        raise ValueError(f"no format {format!r}; there are {', '.join(FORMATS)}.")
    if quantize is not None and quantize not in FORMATS[format].quantizations:
        having = [name for name, other in FORMATS.items() if quantize in other.quantizations]
        hint = f"it is for {', '.join(having)}" if having else f"there are {QUANTIZATIONS}"
        raise ValueError(f"format {format!r} is not quantized as {quantize!r}; {hint}.")
    if opset is not None and not _writers(format, opset):
        opsets = FORMATS[format].opsets
        there = "; ".join(f"{own[0]} to {own[-1]} by {name}" for name, own in opsets.items())
        raise ValueError(
            f"format {format!r} is not written in opset {opset}; there are {there or 'none'}."
        )


def check_path(format: str, path: pathlib.Path) -> None:
    """Raise a ValueError for a name without the suffix of its format."""
    suffix = FORMATS[format].suffix
    if suffix and path.suffix != suffix:
        raise ValueError(f"{path}: the name of a file for {format} ends in {suffix!r}.")


def _writers(format: str, opset: int | None) -> list[str]:
    """The backends that write a format, in an opset where one is asked for."""
    chosen = FORMATS[format]
    return [
        name for name in chosen.writers if opset is None or opset in chosen.opsets.get(name, ())
    ]


def choose_writer(
    format: str, quantize: str | None, opset: int | None, verify: bool, backend: str
) -> str:
    """The backend that writes: the one that runs if it can, else the best that is installed.

    Raises:
        ImportError: a package is missing; says what to install.
    """
    chosen = FORMATS[format]
    candidates = sorted(_writers(format, opset), key=lambda writer: writer != backend)
    others = chosen.quantizations.get(quantize or "", ())
    others += (chosen.runtime,) if verify else ()
    missing = {writer: _missing(writer, *chosen.writers[writer], *others) for writer in candidates}
    for writer in candidates:
        if not missing[writer]:
            return writer
    first = missing[candidates[0]]
    raise ImportError(
        f"format {format!r} needs {', '.join(first)} here: "
        f"{install_command(*dict.fromkeys(EXTRAS[name] for name in first))}"
    )


def _missing(*packages: str) -> list[str]:
    return [name for name in dict.fromkeys(packages) if importlib.util.find_spec(name) is None]
