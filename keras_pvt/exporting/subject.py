"""The model that is exported: one input, named outputs, float32."""

import warnings

import keras

from keras_pvt import systems
from keras_pvt.exporting.argmax import Argmax
from keras_pvt.exporting.errors import ExportError
from keras_pvt.models.inputs import preprocess, takes_pixels
from keras_pvt.models.trained_model import copy_weights

Shape = tuple[int | None, ...]

# The output of a segmentation model that gives the numbers of classes.
LABELS = "labels"


def named(
    model: keras.Model, include_preprocessing: bool = False, argmax: bool = False
) -> keras.Model:
    """The model with a dictionary of outputs, which keeps their names in every format.

    The pyramid, P2 to P5, of a model that has `pyramid_outputs`; "logits" of a segmentation
    model, or "labels"; else the outputs under the names of their layers, "box_deltas_P2" of
    dictionaries in dictionaries. In float32 where the model is in half precision, which TFLite and
    ONNX cannot express.

    Args:
        model: functional, of one image input.
        include_preprocessing: whether to take RGB 0..255 and normalise inside.
        argmax: whether to give the number of the class of each pixel, int32 `(B, H, W)`.
    Raises:
        ExportError: a model that is not functional, or of several inputs; one that
            preprocesses already; `argmax` of a model that gives no map of logits.
    """
    if not getattr(model, "inputs", None):
        raise ExportError(
            f"model {model.name!r} is not functional, or not built: call it, or use its own "
            "`export`."
        )
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
        shapes = ", ".join(str(tensor.shape) for tensor in model.inputs)
        raise ExportError(
            f"model {model.name!r} does not take one batch of images (batch, height, width, "
            f"channels), but {shapes}: use its own `export`."
        )
    images = model.inputs[0]
    outputs = getattr(model, "pyramid_outputs", None) or _outputs(model)
    if argmax:
        outputs = _labels(model, outputs)
    functional = keras.Model(images, outputs, name=model.name)
    if half_precision(model):
        functional = float32_twin(functional)
    if include_preprocessing:
        if takes_pixels(model):
            raise ExportError(f"model {model.name!r} has its preprocessing inside already.")
        pixels = keras.Input(images.shape[1:], name="images")
        functional = keras.Model(pixels, functional(preprocess(pixels)), name=model.name)
    return functional


def half_precision(model: keras.Model) -> bool:
    """Whether any layer computes in float16 or bfloat16."""
    halves = ("float16", "bfloat16")
    return any(layer.compute_dtype in halves for layer in model._flatten_layers())


def float32_twin(model: keras.Model) -> keras.Model:
    """The same model and weights in float32."""
    return twin(model, "float32")


def twin(model: keras.Model, policy: str) -> keras.Model:
    """The same model and weights under another dtype policy, such as "mixed_bfloat16"."""
    config = keras.saving.serialize_keras_object(model)
    with warnings.catch_warnings():
        # KerasHub's tasks compile themselves, which Keras says it cannot do again.
        warnings.filterwarnings("ignore", r"`compile\(\)` was not called", UserWarning)
        other = keras.saving.deserialize_keras_object(_under(config, policy))
    copy_weights(model, other)
    return other


def signature(model: keras.Model, size: tuple | None, batch_size: int | None) -> Shape:
    """(batch, height, width, channels), None for what is known at run time only.

    Args:
        model: functional, of one image input.
        size: (height, width), each may be None; None takes the model's own.
        batch_size: images at once, or None.
    Raises:
        ExportError: a size that the model does not take.
    """
    own_batch, height, width, channels = model.inputs[0].shape
    sides = (height, width) if size is None else tuple(size)
    for own, side, name in zip((height, width), sides, ("height", "width"), strict=True):
        if own not in (None, side):
            raise ExportError(
                f"model {model.name!r} takes a {name} of {own} pixels; got {side}. Build it with "
                "input_shape=(None, None, 3), which takes any (but for Trans2Seg)."
            )
    if own_batch not in (None, batch_size):
        raise ExportError(f"model {model.name!r} takes batches of {own_batch}; got {batch_size}.")
    try:
        model.compute_output_shape((batch_size, *sides, channels))
    except ValueError as error:
        raise ExportError(str(error)) from error
    return (batch_size, *sides, channels)


def _labels(model, outputs):
    """Class numbers instead of logits."""
    shapes = [tensor.shape for tensor in outputs.values()]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise ExportError(
            "argmax is for segmentation models, which give (batch, height, width, classes); model "
            f"{model.name!r} gives {', '.join(map(str, shapes))}."
        )
    (logits,) = outputs.values()
    return {LABELS: Argmax(name=LABELS)(logits)}


def _outputs(model):
    system = systems.of_model(model)
    if system is not None and system.task == "segmentation":
        return {"logits": model.output}
    if isinstance(model.output, dict):
        outputs = _flat(model.output)
        if "classes" in outputs:
            # `NonMaxSuppression` gives the same under two names, and a tensor of TFLite has one.
            outputs.pop("labels", None)
        return outputs
    return dict(zip(model.output_names, model.outputs, strict=True))


def _flat(outputs: dict, prefix: str = "") -> dict:
    """Outputs by one name each, as formats have them: "box_deltas_P2" of a detector's heads."""
    flat: dict = {}
    for name, value in outputs.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}_") if nested else {prefix + name: value}
    return flat


def _under(config, policy):
    """A serialized model with every plain policy replaced."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return config | {"config": config["config"] | {"name": policy}}
        return {key: _under(value, policy) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_under(value, policy) for value in config)
    return config
