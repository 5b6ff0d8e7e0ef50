"""Models from what a user names: a variant, a checkpoint, a .keras file."""

import pathlib

import keras

from keras_pvt.conversion import load_checkpoint, read_checkpoint
from keras_pvt.conversion.build import build_for
from keras_pvt.conversion.recognise import likely_variant, trunk
from keras_pvt.exporting.errors import ExportError
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.pvt import config_of
from keras_pvt.variants import VARIANTS
from keras_pvt.weights import default_name, find


def load(
    source: str, weights: str | None = None, features: bool = False, logits: bool = False
) -> tuple[keras.Model, tuple[int, int] | None]:
    """The model of a name, and the size of the images that its weights were trained on.

    Args:
        source: name of a variant, or path of a .keras file or a checkpoint.
        weights: of a variant, as `keras_pvt.prediction` takes them.
        features: the pyramid P2 to P5 instead of classes; not for a .keras file.
        logits: no softmax; not for a .keras file.
    Returns:
        The model, for any size unless it is of a .keras file, and (height, width), None for a
        .keras file, which knows its own.
    Raises:
        ValueError: neither a variant nor a file; weights that do not fit; a .keras file with
            layers that are not known here.
        OSError: a file that cannot be had.
    """
    if source in VARIANTS:
        path = find(source, default_name(source) if weights is None else weights)
        state, _ = trunk(read_checkpoint(path))
        variant: str | None = source
    elif weights is not None:
        raise ExportError(f"weights are for a variant; {source} is a file, which has its own.")
    elif not pathlib.Path(source).is_file():
        raise ExportError(
            f"{source} is no variant ({', '.join(VARIANTS)}), and there is no such file."
        )
    elif source.endswith(".keras"):
        if features or logits:
            raise ExportError(
                f"{source} is exported as it is; features and logits are for variants and "
                "checkpoints."
            )
        return _keras_file(source), None
    else:
        state, _ = trunk(read_checkpoint(source))
        variant = likely_variant(state)
    if variant is None:
        raise ExportError(f"{source}: no variant has these keys and widths.")
    return _from_state(state, variant, features, logits)


def _from_state(state, variant, features, logits):
    activation = None if logits else "softmax"
    model = build_for(state, variant, any_size=True, classifier_activation=activation)
    if features and not isinstance(model, PVTBackbone):
        model = PVTBackbone(config_of(model), model.input_shape[1:], name=variant)
    load_checkpoint(model, state)
    side = config_of(model).image_size
    return model, (side, side)


def _keras_file(path):
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (TypeError, ValueError, KeyError) as error:
        # Around what is wrong, Keras tells the whole configuration.
        reason = str(error).split("Exception encountered: ")[-1].strip("'\"").split("\n")[0][:300]
        raise ExportError(
            f"{path} cannot be loaded: {reason} A layer of your own has to be registered, and "
            "its module imported; call keras_pvt.export from there."
        ) from error
