"""The weights of a model as a plain one has them: neither quantized nor with LoRA beside them."""

from collections.abc import Iterator, Mapping

import keras
import numpy as np

from keras_pvt.conversion.readers import numpy_dtype
from keras_pvt.conversion.readers.quantized import dequantized


class PlainWeights(Mapping[str, np.ndarray]):
    """The weights of a model by their paths, as arrays, which are made when they are asked for.

    A kernel is what its layer multiplies by: dequantized from int8 or int4, and with
    alpha / rank * A @ B of LoRA added. (Where Keras computes in float8, it keeps the floats, which
    are taken.) The states of random generators are left out, as they are no weights.

    Args:
        model: any.
    Raises:
        ValueError: a layer that is quantized in another way, or has LoRA for what is no kernel.
    """

    def __init__(self, model: keras.Model):
        self._variables = {
            variable.path: variable
            for variable in model.variables
            if not variable.path.endswith("seed_generator_state")
        }
        self._adapted: dict[str, keras.layers.Layer] = {}
        for layer in adapted_layers(model):
            own = _own(layer)
            mode = layer.quantization_mode
            if "kernel" not in own or mode not in (None, "int8", "int4", "float8"):
                what = f"is quantized ({mode})" if mode else "has LoRA for what is no kernel"
                raise ValueError(
                    f"layer {layer.path!r} of model {model.name!r} {what}; what plain weights that "
                    "stands for is not known here. Take the model as it was before."
                )
            self._adapted[own["kernel"].path] = layer
            for name, variable in own.items():
                if name not in ("kernel", "bias"):
                    del self._variables[variable.path]

    def __getitem__(self, path: str) -> np.ndarray:
        if path in self._adapted:
            return _kernel(self._adapted[path])
        return _array(self._variables[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def adapted_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model, at any depth, that Keras has quantized or given LoRA."""
    return [
        layer
        for layer in model._flatten_layers()
        if (layer.quantization_mode or _has_lora(layer))
        and not layer._flatten_layers(include_self=False)
    ]


def begin_lora_anew(model: keras.Model) -> int:
    """Let the LoRA of a model add nothing, so that its kernels are what they are without.

    Returns:
        How many layers have it.
    """
    layers = [layer for layer in adapted_layers(model) if _has_lora(layer)]
    for layer in layers:  # not the first factor too, or they could not learn
        layer.lora_kernel_b.assign(keras.ops.zeros(layer.lora_kernel_b.shape))
    return len(layers)


def _has_lora(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "lora_enabled", False)


def _own(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    return {variable.name: variable for variable in layer.variables}


def _kernel(layer: keras.layers.Layer) -> np.ndarray:
    own = _own(layer)
    kernel = _array(own["kernel"])
    if layer.quantization_mode in ("int8", "int4"):
        beside = [_array(own[n]) for n in ("kernel_scale", "kernel_zero", "g_idx") if n in own]
        kernel = dequantized(kernel, *beside, packed=layer.quantization_mode == "int4")
    if _has_lora(layer):
        first, second = (_array(own[f"lora_kernel_{name}"]) for name in "ab")
        kernel = kernel.astype("float32") + layer.lora_alpha / layer.lora_rank * (first @ second)
    return kernel.astype(numpy_dtype(layer.variable_dtype))


def _array(variable: keras.Variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable.value)
