"""Models from what a user names: a variant, a checkpoint, a .keras file."""

from typing import NamedTuple

import keras

from keras_pvt.classification.decoding import class_table, class_titles
from keras_pvt.conversion import (
    load_checkpoint,
    model_from_checkpoint,
    read_checkpoint,
    recognised,
)
from keras_pvt.conversion.readers import CheckpointError, pointing_to_info
from keras_pvt.conversion.recognise import trunk
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.serving import serving_model
from keras_pvt.exporting.errors import ExportError
from keras_pvt.families import config_of
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.classifier import classifier
from keras_pvt.models.trained_model import (
    TrainedModel,
    is_described,
    keras_reason,
    load_model,
    named_file,
)
from keras_pvt.variants import PRETRAINED, VARIANTS, WEIGHTS, are_none, default_name
from keras_pvt.weights import find, local_file

# Pixels of the crops that published segmentation models are trained on.
CROP = (512, 512)


class Source(NamedTuple):
    """What a user names, see `load`.

    Args:
        model: to be exported.
        size: (height, width) in pixels; None: its own, or not known.
        classes: names, in the order of the outputs; None: not known.
    """

    model: keras.Model
    size: tuple[int, int] | None
    classes: tuple[str, ...] | None = None


def load(
    source: str,
    weights: str | None = None,
    features: bool = False,
    logits: bool = False,
    size: tuple[int | None, int | None] | None = None,
) -> Source:
    """The model of a name, with the size of its images and the names of its classes.

    Args:
        source: name of a variant; path of a .keras file or a checkpoint; or hf://OWNER/NAME, a
            hub's repository with one of these. A detector's file gives a model that ends in boxes.
        weights: of a variant, as `keras_pvt.classification.predictor` takes them.
        features: the pyramid P2 to P5 instead of classes; not for a .keras file.
        logits: no softmax, which a classifier else ends in; not for a .keras file that does not
            say what it is. A segmentation model has none anyway.
        size: (height, width) in pixels, which a Trans2Seg's weights do not tell where it is no
            square.
    Returns:
        The model, for any size unless it is of a .keras file or a Trans2Seg, and (height, width),
        None where the model takes one size only, or nothing tells. Of a detector's file these are
        the shorter and the longer side that images are scaled to. Names are None where nothing
        tells them, and for features.
    Raises:
        ValueError: neither a variant nor a file; weights that do not fit; a .keras file with
            layers that are not known here.
        OSError: a file cannot be read or downloaded.
    """
    if source in VARIANTS:
        if weights is not None and are_none(weights):
            side = VARIANTS[source].image_size
            return Source(_untrained(source, features, logits), (side, side))
        path = find(source, PRETRAINED if weights is None else weights)
        found = recognised(read_checkpoint(path))._replace(variant=source)
        found = found._replace(classes=found.classes or _table(source, weights))
    elif weights is not None:
        raise ExportError(f"weights are for a variant; {source} is a file, which has its own.")
    elif not (path := local_file(source)).exists():
        raise ExportError(
            f"{source} is no variant ({', '.join(VARIANTS)}), and there is no such file."
        )
    elif (path := named_file(path)).suffix == ".keras" or path.is_dir():
        if features:
            raise ExportError(
                f"{source} is exported whole; features are of variants and checkpoints."
            )
        if not is_described(path):
            if logits:
                raise ExportError(
                    f"{source} is exported as it is, as it does not say whether it ends in logits."
                )
            return Source(_keras_file(path), None)
        trained = load_model(path)
        model = _served(trained, logits)
        size = trained.size if None in model.inputs[0].shape[1:3] else None
        return Source(model, size, trained.classes)
    else:
        found = recognised(read_checkpoint(path))
    if not found.known:
        raise ExportError(pointing_to_info(f"{source}: {found.unknown}."))
    try:
        return _from_state(found, features, logits, size)
    except CheckpointError as error:
        raise CheckpointError(pointing_to_info(f"{source}: {error}")) from error


def _served(trained: TrainedModel, logits: bool) -> keras.Model:
    """A trained model with the end that users of its task want."""
    if trained.task == "detection":
        if logits:
            raise ExportError(
                "a detector is exported with its boxes; keras_pvt.export(Detector.load(path).model,"
                " ...) leaves them out."
            )
        return serving_model(Detector.of(trained))
    if trained.task != "classification" or trained.logits == logits:
        return trained.model
    model = trained.model
    (name,) = model.output_names
    last = model.outputs[0]._keras_history.operation
    if trained.logits:
        end = keras.layers.Softmax(dtype="float32", name=f"{name}_softmax")(model.output)
    elif getattr(last, "activation", None) is keras.activations.softmax:
        bare = type(last).from_config(last.get_config() | {"activation": "linear"})
        end = bare(last.input)
        bare.set_weights(last.get_weights())
    else:
        raise ExportError(
            f"the softmax of model {model.name!r} cannot be left out, as it is none of its last "
            f"layer, {last.name!r}."
        )
    return keras.Model(model.input, {name: end}, name=model.name)


def _table(variant: str, weights: str | None) -> tuple[str, ...] | None:
    """The names of what weights of the table tell apart; None: those of a file, or nobody said."""
    name = default_name(variant) if weights in (None, PRETRAINED) else str(weights)
    row = WEIGHTS.get((variant, name))
    if row is None or row.classes is None:
        return None
    return class_titles(class_table(row.classes))


def resize_size(source: str, weights: str | None) -> int | None:
    """Pixels of the short side before the crop, of a variant's weights that the table has.

    Args:
        source: see `load`.
        weights: see there.
    Returns:
        None of others.
    """
    name = default_name(source) if source in VARIANTS and weights is None else str(weights)
    row = WEIGHTS.get((source, name))
    return None if row is None else row.resize_size


def _untrained(variant: str, features: bool, logits: bool) -> keras.Model:
    if features:
        return PVTBackbone(variant)
    activation = None if logits else "softmax"
    shape = (None, None, 3)
    return classifier(variant, weights=None, input_shape=shape, classifier_activation=activation)


def _from_state(found, features, logits, size):
    if features:
        found = found._replace(state=trunk(found.state)[0], system=None)
    open_size = (None, None)
    if found.system is not None and size is not None and None not in size:
        open_size = size
    model, report = model_from_checkpoint(found, open_size, logits)
    if features and not isinstance(model, PVTBackbone):
        model = PVTBackbone(config_of(model), model.input_shape[1:], name=found.variant)
        load_checkpoint(model, found.state)
    if found.system is not None:
        return Source(model, CROP if None in model.input_shape[1:3] else None, report.classes)
    side = config_of(model).image_size
    return Source(model, (side, side), None if features else report.classes)


def _keras_file(path):
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (TypeError, ValueError, KeyError) as error:
        raise ExportError(
            f"{path} cannot be loaded: {keras_reason(error)} A layer of your own has to be "
            "registered, and its module imported; call keras_pvt.export from there."
        ) from error
