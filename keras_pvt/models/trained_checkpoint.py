"""Files of weights as trained models: `keras-pvt detect` and `segment` take any of them."""

import logging
import os
from collections.abc import Sequence

from keras_pvt.conversion import model_from_checkpoint, read_checkpoint, recognised
from keras_pvt.conversion.readers import CheckpointError, pointing_to_info
from keras_pvt.conversion.readers.trained_file import KINDS, VERBS
from keras_pvt.models.trained_model import (
    TrainedModel,
    is_described,
    kind_of,
    load_model,
    named_file,
    trained_of,
)

# The shorter and the longer side, in pixels, at which mmdetection evaluates; its files, and all
# others of weights alone, do not say it.
DETECTOR_SIZE = (800, 1333)


def load_trained(
    path: str | os.PathLike, task: str | None = None, classes: Sequence[str] | None = None
) -> TrainedModel:
    """A model of a file, with the names of its classes.

    Args:
        path: of a `.keras` file that says what it is, see `load_model`; or of a checkpoint that
            `keras_pvt.conversion.read_checkpoint` reads and that says what no weight tells; or
            hf://OWNER/NAME, a hub's repository with one of these.
        task: that it must be for; None takes any.
        classes: names, in the order of the outputs, for a checkpoint; by default its own.
    Raises:
        ValueError: it is no such file, or one for another task; it does not name its classes, and
            nobody does; more or fewer names.
        OSError: a file that cannot be opened.
    """
    where, file = os.fspath(path), named_file(path)
    whole = file.suffix == ".keras" or file.is_dir()
    # A .keras file without names is a checkpoint for who names its classes.
    if whole and (classes is None or is_described(file)):
        if classes is not None:
            raise ValueError(f"{where} has names of its classes; leave out others.")
        return load_model(file, task)
    found = recognised(read_checkpoint(file))
    if not found.known:
        raise ValueError(pointing_to_info(f"{where}: {found.unknown}."))
    try:
        model, report = model_from_checkpoint(found)
    except CheckpointError as error:
        raise ValueError(pointing_to_info(f"{where}: {error}")) from error
    _, _, own = kind_of(model)
    if own is None:
        wanted = "whole model" if task is None else KINDS[task]
        raise ValueError(f"{where} is a backbone, which gives no answers; pass a {wanted}.")
    if task is not None and own != task:
        raise ValueError(
            f"{where} is a {KINDS[own]}: use keras-pvt {VERBS[own]} IMAGE --model {where}, or "
            f"pass a {KINDS[task]}."
        )
    for notice in report.notices:
        logging.getLogger("keras_pvt").warning("%s: %s", where, notice)
    names = report.classes if classes is None else tuple(classes)
    if names is None:
        raise ValueError(
            f"{where} does not name its classes: --classes names them, in a file with a name a "
            "line, and `keras-pvt convert` keeps those that a file has."
        )
    size = None if found.description is None else found.description.size
    if size is None and own == "detection" and None in model.inputs[0].shape[1:3]:
        size = DETECTOR_SIZE
        logging.getLogger("keras_pvt").warning(
            "%s does not say at which size it sees images: %sx%s is taken", where, *size
        )
    return trained_of(model, names, size)
