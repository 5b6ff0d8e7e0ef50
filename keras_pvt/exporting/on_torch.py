"""Artifacts that PyTorch writes."""

import contextlib
import logging
import pathlib
import tempfile
import warnings

import keras
import torch

from keras_pvt.exporting.subject import Shape

_AXES = ("batch", "height", "width")
# Any numbers above 1 will do for what is open while the graph is traced: unequal, and not
# multiples of what a stage divides by.
_TRACED = (2, 72, 104)
# torch treats a size of 1 apart, as that of the last map is below 64 pixels; the formats do not
# keep this limit, and smaller images work.
_SMALLEST = (1, 64, 64)


def onnx(model: keras.Model, path: pathlib.Path, shape: Shape, quantize, images) -> None:
    """An ONNX file, by torch's exporter, with named open sizes."""
    with _quiet():
        program = torch.onnx.export(
            _Named(model),
            (_sample(model, shape),),
            dynamo=True,
            dynamic_shapes=_open_sizes(shape),
            input_names=["images"],
            output_names=list(model.output),
            external_data=False,
            verbose=False,
        )
        assert program is not None  # as it is with `dynamo`
        program.save(path)


def openvino(model: keras.Model, path: pathlib.Path, shape: Shape, quantize, images) -> None:
    """An OpenVINO .xml with its .bin, by way of ONNX.

    From torch's own graph, OpenVINO 2026.4 makes a model that is wrong at some sizes.
    """
    import openvino as ov

    with tempfile.TemporaryDirectory() as folder:
        between = pathlib.Path(folder) / "model.onnx"
        onnx(model, between, shape, None, None)
        ov.save_model(ov.convert_model(between), path, compress_to_fp16=quantize == "float16")


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


@contextlib.contextmanager
def _quiet():
    """Without gradients, and without what torch says about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it would name each operator of torchvision
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`isinstance", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
