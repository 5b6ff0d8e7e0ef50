"""Artifacts that PyTorch writes."""

import contextlib
import logging
import pathlib
import sys
import tempfile
import warnings

import keras
import torch

from keras_pvt.exporting.job import Job

_AXES = ("batch", "height", "width")
# Any numbers will do for what is open while the graph is traced: unequal, not multiples of what a
# stage divides by, and so large that no map has a side of 1, which the file would say is the only
# one. The last map of RetinaNet has a stride of 128.
_TRACED = (2, 264, 328)
# torch treats a size of 1 apart, as that of the last map is below 64 pixels; the formats do not
# keep this limit, and smaller images work.
_SMALLEST = (1, 64, 64)
# Operators of ONNX that give the numbers that they take, in another shape or order.
_REARRANGE = ("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


def onnx(model: keras.Model, job: Job, images) -> None:
    """An ONNX file, by torch's exporter, with named open sizes."""
    with _quiet():
        program = torch.onnx.export(
            _Named(model),
            (_sample(model, job.shape),),
            dynamo=True,
            dynamic_shapes=_open_sizes(job.shape),
            input_names=["images"],
            output_names=list(model.output),
            external_data=False,
            verbose=False,
            opset_version=job.opset,
        )
        assert program is not None  # as it is with `dynamo`
        _rearrange_weights(program.model)
        _set_version(program.model, job.opset)
        program.save(job.path)


def openvino(model: keras.Model, job: Job, images) -> None:
    """An OpenVINO .xml with its .bin, by way of ONNX.

    From torch's own graph, OpenVINO 2026.4 makes a model that is wrong at some sizes.
    """
    import openvino as ov

    with tempfile.TemporaryDirectory() as folder:
        between = job.plain(pathlib.Path(folder) / "model.onnx")
        onnx(model, between, None)
        half = job.quantize == "float16"
        ov.save_model(ov.convert_model(between.path), job.path, compress_to_fp16=half)


class _Named(torch.nn.Module):
    """A Keras model as torch calls it, in inference."""

    def __init__(self, model: keras.Model):
        super().__init__()
        self.model = model
        self.training = False  # of this module only; Keras passes its own along

    def forward(self, images):
        outputs = self.model(images, training=False)
        return tuple(outputs[name] for name in self.model.output)


def _sample(model, shape):
    sizes = [size or traced for size, traced in zip(shape, _TRACED, strict=False)]
    return torch.zeros(*sizes, shape[-1], dtype=getattr(torch, model.inputs[0].dtype))


def _open_sizes(shape):
    dimensions = {
        axis: torch.export.Dim(name, min=_SMALLEST[axis])
        for axis, name in enumerate(_AXES)
        if shape[axis] is None
    }
    return {"images": dimensions}


def _rearrange_weights(model) -> None:
    """Store each weight as the operator takes it that computes with it.

    Kernels that torch reshapes lie in the file as Keras has them, where they have more than 8,192
    numbers. Quantizers look for weights right before an operator, and pass over those.
    """
    from onnxscript import optimizer

    optimizer.fold_constants(
        model, should_fold=lambda node: node.op_type in _REARRANGE, output_size_limit=sys.maxsize
    )
    optimizer.remove_unused_nodes(model)


def _set_version(model, opset) -> None:
    """Let a file say the oldest version of ONNX's format that has its operators.

    Raises:
        ValueError: torch has kept a newer opset than is wanted, as it only logs.
    """
    from onnx import helper

    found = model.opset_imports[""]
    if opset not in (None, found):
        raise ValueError(f"its operators need opset {found}")
    opsets = [helper.make_opsetid(*item) for item in model.opset_imports.items()]
    model.ir_version = helper.find_min_ir_version_for(opsets)


@contextlib.contextmanager
def _quiet():
    """Without gradients, and without what torch and its converter say about themselves."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)  # torch would name each operator of torchvision
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`isinstance", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
