"""Loading weights into a model, and getting them out."""

import os
from collections.abc import Iterable, Mapping

import keras
import numpy as np

from keras_pvt import families, ops, systems
from keras_pvt.conversion.description import Checkpoint, describe
from keras_pvt.conversion.fit import Fit, Report, assignable, layouts_of, model_map
from keras_pvt.conversion.maps.entries import Entry
from keras_pvt.conversion.plain import PlainWeights, begin_lora_anew
from keras_pvt.conversion.readers import (
    CheckpointError,
    pointing_to_info,
    read_checkpoint,
)


def load_checkpoint(
    model: keras.Model,
    source: str | os.PathLike | Mapping[str, np.ndarray],
    *,
    which: str | None = None,
    resize_positions: bool = False,
    new_head: bool = False,
    adapt_channels: bool = False,
) -> Report:
    """Set every weight of a model from a checkpoint, or none of them.

    Weights that the model has no place for by design (the class token, last norm and head, in
    a pyramid) are skipped and reported. All others must fit, unless a rule is allowed.

    Args:
        model: built by keras_pvt; any dtype. Its LoRA is reset, and adds nothing at first.
        source: path of a file that `read_checkpoint` reads, or a state dict of any layout. A state
            dict with a description, or a `.keras` file, must be of a model with the same settings,
            such as heads; of `dict(state)` only the arrays are compared.
        which: which state dict of a torch file, "ema" or its name; see `read_checkpoint`.
        resize_positions: resize position tables of another image size.
        new_head: keep the model's own head where the checkpoint has none, or one of another
            number of classes. The head of a detector or segmenter is `System.per_class`. DETR
            keeps its queries where the checkpoint has more or fewer.
        adapt_channels: make an RGB checkpoint fit another number of input channels.
    Returns:
        A report of what was resized, adapted, kept or skipped.
    Raises:
        CheckpointError: the file cannot be read; keys are missing, unexpected or mis-shaped, all
            listed in one message; values are not finite. The model is unchanged.
        ValueError: a model that keras_pvt did not build, or that Keras has quantized; `which`
            with a state dict.
        OSError: a file that cannot be opened.
    """
    if isinstance(source, Mapping):
        if which is not None:
            raise ValueError(f"`which` is for a file of several state dicts; got {which!r}.")
        state = source
    else:
        state = read_checkpoint(source, which)
    fit = Fit(model, state, resize_positions, new_head, adapt_channels)
    if fit.problems:
        name = getattr(state, "source", None)
        said = f"{name or 'the state dict'} does not fit model {model.name!r}:\n{fit.problems}"
        raise CheckpointError(said if name is None else pointing_to_info(said))
    for path, value in fit.values.items():
        variable = fit.variables[path]
        ops.assign_without_copy(variable, _copied(value, assignable(variable)))
    if count := begin_lora_anew(model):
        fit.report.notices.append(f"the LoRA of {count} layers begins anew")
    return fit.report


def to_torch(model: keras.Model, layout: str = "official") -> Checkpoint:
    """The weights of a model as a torch state dict, in the official order.

    Args:
        model: built by keras_pvt.
        layout: names, "official" (whai362/PVT), "huggingface" (transformers), "mmdetection" (its
            backbones, 2.17 and later); of PVTv2 also "timm" (0.6 and later), "timm_features" (its
            models with features_only=True) and "kecam" (keras-cv-attention-models); of a `DETR`
            also "facebook", see `maps.detr`; of another system only "official". A PVT
            without class token gives the official layout of the detection code, where
            `pos_embed4` has an unused first row: zeros.
    Returns:
        Arrays of their own, in the dtype of the variables, with the description of the model;
        for `save_checkpoint`. What Keras has quantized are the kernels that it stands for; LoRA is
        in the kernels.
    Raises:
        ValueError: a layout that the model does not have; a PVT backbone for "huggingface"; a model
            that is quantized by GPTQ or AWQ, or has weights that the layout has no names for.
    """
    if layout not in layouts_of(model):
        raise ValueError(
            f"`layout` of model {model.name!r} must be one of {', '.join(layouts_of(model))}; got "
            f"{layout!r}; use the official layout."
        )
    weights = PlainWeights(model)
    backbone = systems.of_model(model) is None and "head/kernel" not in weights
    family = families.named(families.config_of(model).family)
    if layout in family.whole and backbone:
        raise ValueError(
            f"the {layout} layout has no {family.title} without a head, as model {model.name!r} "
            "is; use the official layout, or a model with include_top=True."
        )
    state: dict[str, np.ndarray] = {}
    entries = model_map(model, layout)
    if unnamed := _unnamed(weights, entries):
        raise ValueError(
            f"model {model.name!r} has {len(unnamed)} weights that the {layout} layout has no "
            f"names for: {', '.join(unnamed[:12])}."
        )
    prefix = family.layouts.get(layout, "")
    bare = prefix if backbone and prefix in family.bare.values() else ""
    for entry in entries:
        arrays = [weights.get(path) for path in entry.keras]
        keys = [key.removeprefix(bare) for key in entry.torch]
        if not arrays or arrays[-1] is not None:
            converted = entry.layout.to_torch(*arrays)
            state |= {
                key: np.array(array, order="C") for key, array in zip(keys, converted, strict=True)
            }
    return Checkpoint(state, describe(model))


def unnamed_weights(model: keras.Model, layout: str = "official") -> list[str]:
    """Paths of the weights that a layout has no names for, as of layers around a model of ours.

    Raises:
        ValueError: there is nothing of keras_pvt in it.
    """
    return _unnamed(PlainWeights(model), model_map(model, layout))


def _unnamed(weights: PlainWeights, entries: Iterable[Entry]) -> list[str]:
    named = {path for entry in entries for path in entry.keras}
    return [path for path in weights if path not in named]


def differences(model: keras.Model, state: Mapping[str, np.ndarray]) -> list[str]:
    """Compare a model with a state dict.

    Args:
        model: of keras_pvt.
        state: key to array; values are compared in the dtypes of these arrays.
    Returns:
        Paths of the variables that differ.
    Raises:
        CheckpointError: the state dict does not fit the model.
    """
    fit = Fit(model, state)
    if fit.problems:
        raise CheckpointError(f"the state dict does not fit model {model.name!r}:\n{fit.problems}")
    weights = PlainWeights(model)
    return [
        path
        for path, value in fit.values.items()
        if not np.array_equal(value, weights[path].astype(value.dtype))
    ]


def _copied(view: np.ndarray, dtype: str) -> np.ndarray:
    """A contiguous copy. Transposed views go in strips of a few cache lines: ten times as fast."""
    if view.flags.c_contiguous:
        return np.array(view, dtype)
    copy, strip = np.empty(view.shape, dtype), 64
    for start in range(0, view.shape[-1], strip):
        copy[..., start : start + strip] = view[..., start : start + strip]
    return copy
