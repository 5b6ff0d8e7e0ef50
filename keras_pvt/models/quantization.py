"""What `model.quantize` of Keras is told of a model."""

import functools

import keras


def quantize_what_can_be(model: keras.Model) -> None:
    """Have `model.quantize` leave out the layers that Keras cannot quantize.

    By default it tries every layer, and warns of norms and convolutions that they stay as they are;
    Keras 3.16 also of the layers whose dense layers it does quantize.

    Args:
        model: its `quantize` is replaced; called with `filters`, it is Keras's own.
    """
    model.quantize = functools.partial(_quantize, model.quantize)


def _quantize(original, mode=None, config=None, filters=None, **options):
    if filters is None:
        filters = _can_be_quantized
    return original(mode, config=config, filters=filters, **options)


def _can_be_quantized(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "variable_serialization_spec", None) is not None
