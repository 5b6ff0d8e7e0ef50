"""Weights for the argument `weights=` of constructors."""

import logging
import os
import pathlib
from collections.abc import Sequence

import keras

from keras_pvt.conversion import (
    Checkpoint,
    CheckpointError,
    Report,
    load_checkpoint,
    read_checkpoint,
)
from keras_pvt.conversion.build import built_otherwise
from keras_pvt.conversion.fit import said_of_twin
from keras_pvt.conversion.readers.shards import file_in
from keras_pvt.conversion.recognise import told_of_state, trunk, twin
from keras_pvt.download.local import local_file
from keras_pvt.variants import PRETRAINED, WEIGHTS, PVTConfig, default_name

BUNDLED = pathlib.Path(__file__).parent / "data"


def load(
    model: keras.Model,
    variant: str | PVTConfig,
    weights: str | os.PathLike,
    state: Checkpoint | None = None,
) -> Report:
    """Load weights by name or from a file, and adapt them where that is sensible.

    Position tables are resized, the first convolution is adapted to the input's channels, and a
    head with another number of classes keeps its initial values. Each adaptation is logged as a
    warning of the logger "keras_pvt".

    Args:
        model: the variant, built by keras_pvt.
        variant: name of a row of the variant table; a row of your own has no named weights.
        weights: a name for this variant in the table of weights, such as "imagenet"; the
            path of a file that `keras_pvt.conversion` reads; or a name on a hub, see `local_file`.
        state: of that file, where `read` has read it.
    Returns:
        What was changed and skipped.
    Raises:
        ValueError: neither a name for this variant nor a file; weights that do not fit.
        OSError: a file cannot be read or downloaded.
    """
    state = read_checkpoint(find(variant, weights)) if state is None else state
    return _load(model, state, [] if _is_name(variant, weights) else _doubts(state))


def load_whole(
    model: keras.Model, source: str | os.PathLike, classes: Sequence[str] | None = None
) -> Report:
    """Load a trained model's weights into another of its kind, with neck and head, and adapt them
    as `load` does.

    Args:
        model: built by keras_pvt.
        source: file of a model with the same settings; the numbers of classes and of DETR's
            queries may be others.
        classes: names of those that the model is to learn. A head for as many is taken; that the
            file names other classes is logged.
    Returns:
        What was changed and skipped.
    Raises:
        ValueError: no file; weights that do not fit.
        OSError: a file cannot be read or downloaded.
    """
    path = local_file(source)
    if not path.exists():
        raise ValueError(
            f"{os.fspath(source)!r} is no file of a trained model. Pass a file, such as the "
            "model.keras of a run, or hf://OWNER/NAME of a hub."
        )
    state = read_checkpoint(path)
    try:
        return _load(model, state, [*_doubts(state), *_other_classes(state.classes, classes)])
    except CheckpointError as error:
        apart = built_otherwise(model, state)
        if not apart:
            raise
        raise CheckpointError(f"built otherwise: {'; '.join(apart)}.\n{error}") from None


def _other_classes(theirs: Sequence[str] | None, own: Sequence[str] | None) -> list[str]:
    """What there is to say of a head for as many classes, with other names or in another order."""
    if theirs is None or own is None or len(theirs) != len(own):
        return []
    for number, (one, other) in enumerate(zip(theirs, own, strict=True)):
        if one != other:
            return [
                f"the head is the checkpoint's, though its classes have other names: class {number}"
                f" is {one!r} in the checkpoint, and {other!r} in the data"
            ]
    return []


def _load(model: keras.Model, state: Checkpoint, notices: list[str]) -> Report:
    report = load_checkpoint(
        model, state, resize_positions=True, new_head=True, adapt_channels=True
    )
    for notice in notices + report.notices:
        logging.getLogger("keras_pvt").warning("%s: %s", model.name, notice)
    return report


def _is_name(variant: str | PVTConfig, weights: str | os.PathLike) -> bool:
    """Whether weights are a name of the table, rather than a file."""
    return isinstance(variant, str) and (weights == PRETRAINED or (variant, weights) in WEIGHTS)


def _doubts(state: Checkpoint) -> list[str]:
    """What else a file may be."""
    other = twin(trunk(state)[0])
    return [] if other is None else [f"{state.source}: {said_of_twin(other)}"]


def read(variant: str | PVTConfig, weights: str | os.PathLike) -> Checkpoint | None:
    """What is in a file of `weights`, for `classes_of` and `load`; None for a name.

    Args:
        variant: name of a row of the variant table, or a row of your own.
        weights: a name or a file, see `load`.
    Raises:
        ValueError: neither a name for this variant nor a file; a file that cannot be read.
        OSError: a file that cannot be opened.
    """
    return None if _is_name(variant, weights) else read_checkpoint(find(variant, weights))


def classes_of(config: PVTConfig, state: Checkpoint | None) -> int | None:
    """How many classes the head in a file tells apart; None for a name, or a file without one."""
    return None if state is None else told_of_state(trunk(state)[0], config).get("classes")


def find(variant: str | PVTConfig, weights: str | os.PathLike) -> pathlib.Path:
    """The local file of `weights`, fetched first where it is a name.

    Args:
        variant: name of a row of the variant table, or a row of your own.
        weights: a name, a file, or a folder with one, see `read_checkpoint`; "pretrained" is the
            first name of the variant.
    Raises:
        ValueError: neither a name for this variant nor a file.
        OSError: a file cannot be read or downloaded.
    """
    if isinstance(variant, str) and weights == PRETRAINED:
        weights = default_name(variant)
    if isinstance(variant, str) and (variant, weights) in WEIGHTS:
        if WEIGHTS[variant, str(weights)].url is None:
            return BUNDLED / f"{variant}_{weights}.safetensors"
        from keras_pvt.download import fetch

        return fetch(variant, str(weights))
    path = local_file(weights)
    if path.is_dir():
        return file_in(path)
    if not path.is_file():
        names = [name for owner, name in WEIGHTS if owner == variant]
        raise ValueError(
            f"`weights` {os.fspath(weights)!r} is no file, and no name for "
            f"{variant if isinstance(variant, str) else 'a configuration of your own'}: the "
            f"names are {', '.join(repr(name) for name in names) or 'none'}. Pass one, the path "
            "of a checkpoint file, hf://OWNER/NAME of a hub, or None for random initial values."
        )
    return path
