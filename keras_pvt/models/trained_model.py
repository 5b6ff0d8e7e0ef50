"""Trained models in .keras files that also store how to use them."""

import dataclasses
import functools
import importlib
import json
import operator
import os
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_pvt.conversion.readers.keras_config import CONFIG_MEMBER
from keras_pvt.conversion.readers.mapped import LOCAL_HEADER, Archive, CheckpointError, map_file
from keras_pvt.conversion.readers.shards import file_in
from keras_pvt.conversion.readers.trained_file import (
    KINDS,
    MEMBER,
    VERBS,
    member_of,
    read_facts,
)
from keras_pvt.models.inputs import image_shape, takes_pixels
from keras_pvt.models.quantization import quantize_what_can_be
from keras_pvt.systems import SYSTEMS
from keras_pvt.utils.extras import LIBRARIES, needed_for
from keras_pvt.utils.files import replacing
from keras_pvt.weights import local_file

# The file that a training run leaves in its folder.
RESULT = "model.keras"
# What Keras puts into a .keras file, and into a folder for a hub, beside the configuration.
WEIGHTS = "model.weights.h5"
# Of a configuration, in bytes; that of PVT-Large has less.
LARGEST_CONFIG = 1 << 27


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A model, and what must be known to use it.

    Args:
        model: of `(B, H, W, 3)` images, RGB 0..255 if `pixels`, else normalised by
            `keras_pvt.preprocess_input`.
        task: "classification", "detection" or "segmentation".
        system: kind of model, such as "classifier" or "mask_rcnn", see `keras_pvt.systems`; empty
            if it is none of these.
        classes: names, in the order of the outputs or labels.
        size: (height, width) in pixels of the model's input. A classifier gets a centre crop of
            this size. A detector gets the whole image, scaled to fit into a shorter and a longer
            side, in this order; a detector of another library gets it on a canvas of this size. For
            a segmenter, the shorter side of an image is scaled to the smaller of the two. None:
            images are not scaled.
        logits: whether the model ends before softmax or sigmoid.
        library: library that the model was built with: "keras_pvt", "keras_cv" or "keras_hub".
    """

    model: keras.Model
    task: str
    system: str
    classes: tuple[str, ...]
    size: tuple[int, int] | None = None
    logits: bool = False
    library: str = "keras_pvt"

    @property
    def pixels(self) -> bool:
        """Whether the model takes RGB 0..255, as its preprocessing is inside."""
        return self.library != "keras_pvt" or takes_pixels(self.model)

    def save(self, path: str | os.PathLike) -> None:
        """Write a .keras file that `load_model` reads; the state of an optimizer is left out.

        Args:
            path: of the file, which ends in .keras.
        Raises:
            OSError: the file cannot be written; an existing file is unchanged.
        """
        facts: dict[str, Any] = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "model"
        }
        facts["preprocessing"] = "inside" if self.pixels else "preprocess_input"
        # Of several processes only the first writes, and none can make a copy alone: `Run.save`
        # gives one that was never compiled.
        copy = bare_copy(self.model) if self.model.compiled else self.model
        with replacing(pathlib.Path(path)) as temporary:
            copy.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(MEMBER, json.dumps(facts, indent=2))


def bare_copy(model: keras.Model) -> keras.Model:
    """A copy that was never compiled: the optimizer's state is twice as large as the model."""
    copy = type(model).from_config(model.get_config())
    copy_weights(model, copy)
    return copy


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy the weights of one model to another, as a file would: LoRA is merged into the kernels.

    Args:
        source: model to copy from.
        target: model with the same layers, built from the same configuration.
    """
    # Of KerasHub's, a copy has layers without weights in another number.
    for owner, taker in zip(_owners(source), _owners(target), strict=True):
        store: dict = {}
        owner.save_own_variables(store)
        # Copies, as on JAX both would have one array, which `predict` and `fit` take from either.
        taker.load_own_variables({name: keras.ops.copy(value) for name, value in store.items()})


def _owners(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that have variables of their own."""
    return [
        layer
        for layer in model._flatten_layers()
        if layer._trainable_variables or layer._non_trainable_variables
    ]


def save_model(
    model: keras.Model,
    path: str | os.PathLike,
    classes: Sequence[str],
    *,
    size: tuple[int, int] | None = None,
    logits: bool | None = None,
) -> None:
    """Save a trained model so that `keras-pvt` and `load_model` need nothing else to use it.

    The result is a .keras file, which `keras.saving.load_model` reads too.

    Args:
        model: a classifier, which gives `(B, classes)`; a `keras_pvt.detection` model, or a
            RetinaNet of keras-cv or KerasHub; or a `keras_pvt.segmentation` model. The optimizer's
            state of a compiled model is left out.
        path: file to write; it ends in .keras, and its folder must exist.
        classes: names, in the order of the outputs or labels.
        size: (height, width) in pixels of the images that the model takes; for a detector, the
            shorter and the longer side that images are scaled to. The default is the size of the
            model's input. A detector for images of any size needs one.
        logits: whether a classifier ends before softmax; by default read off its last layer.
    Raises:
        ValueError: another kind of model; names that are not distinct words, or not as many as the
            model's classes; a size is needed and missing.
        OSError: the file cannot be written; an existing file is unchanged.
    Example:
        >>> model.fit(batches, epochs=10)
        >>> keras_pvt.save_model(model, "flowers.keras", classes=["daisy", "rose"])
        # keras-pvt predict photo.jpg --model flowers.keras
    """
    if not os.fspath(path).endswith(".keras"):
        raise ValueError(f"`path` must end in .keras; got {os.fspath(path)!r}.")
    trained_of(model, tuple(map(str, classes)), size, logits).save(path)


def load_model(path: str | os.PathLike, task: str | None = None) -> TrainedModel:
    """Load a model that `save_model` or `keras-pvt train` has saved; no code in it is executed.

    Args:
        path: the .keras file; a folder that `keras_pvt.hub.save` has written for Keras from such a
            model; or hf://OWNER/NAME, a hub's repository with either. Detectors and segmenters of
            version 0.1.0 are read too.
        task: the task that the model must be for; None takes any.
    Returns:
        The model, uncompiled, and its description.
    Raises:
        OSError: the file does not exist, is another folder, or cannot be opened or downloaded.
        ValueError: the file is not of this kind, or is for another task; the message says which.
        ImportError: the library that the model was built with is not installed.
    """
    path = named_file(path)
    description, config = _read(path)
    del description["preprocessing"]  # which the model tells
    found = description["task"]
    if task is not None and found != task:
        raise ValueError(
            f"{os.fspath(path)} is a {KINDS[found]}: use keras-pvt {VERBS[found]} IMAGE --model "
            f"{os.fspath(path)}, or pass a {KINDS[task]}."
        )
    for library, extras in LIBRARIES.items():
        if f'"{library}' in config:
            with needed_for(f"the model in {os.fspath(path)}", *extras):
                importlib.import_module(library)
    model = load_keras(path)
    _check_fit(os.fspath(path), model, found, len(description["classes"]))
    quantize_what_can_be(model)
    if not description["system"]:  # which files of 0.1.0 do not name
        description["system"] = getattr(model, "system", "")
    return TrainedModel(model, **description)


def named_file(source: str | os.PathLike) -> pathlib.Path:
    """The local file of a model or checkpoint that a user names.

    Args:
        source: a path, or a name on a hub, see `keras_pvt.download.local`.
    Returns:
        Path of a file, or of a folder that `is_described`.
    Raises:
        OSError: there is no such file, or nothing can be fetched.
        ValueError: a name on a hub that is none.
        ImportError: the client of the hub is not installed.
    """
    path = local_file(source)
    if path.name == WEIGHTS and is_described(path.parent):
        return path.parent
    if path.is_dir():
        return path if is_described(path) else file_in(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {os.fspath(path)!r}.")
    return path


def load_keras(path: str | os.PathLike) -> keras.Model:
    """The model in a .keras file, or in such a folder, uncompiled; nothing in it is executed.

    Raises:
        ValueError: Keras cannot load it; says why in a line.
    """
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (  # OSError: of h5py, as the file itself was opened before
        ValueError, TypeError, KeyError, AttributeError, OSError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise ValueError(f"{os.fspath(path)} cannot be loaded: {keras_reason(error)}") from error


def keras_reason(error: Exception) -> str:
    """What Keras says is wrong with a file, on a line; around it, it tells the configuration."""
    inner = str(error).split("Exception encountered: ")[-1]
    return " ".join(inner.split("Full object config: ")[0].split()) or type(error).__name__


def is_described(path: str | os.PathLike) -> bool:
    """Whether `load_model` can read a file, or a folder with what is in such a file."""
    if os.path.isdir(path):
        return all(
            os.path.isfile(os.path.join(path, name)) for name in (MEMBER, CONFIG_MEMBER, WEIGHTS)
        )
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return member_of(archive.namelist()) is not None


def kind_of(model: keras.Model) -> tuple[str, str, str | None]:
    """The library and the system of a model, and its task; None: it has none.

    Args:
        model: any.
    """
    library = type(model).__module__.split(".")[0]
    library = library if library in LIBRARIES else "keras_pvt"
    shape: Any = getattr(model, "output_shape", None)
    is_answer = isinstance(shape, tuple) and not hasattr(model, "pyramid_outputs")
    rank = len(shape) if is_answer and model.built else 0
    system = "retinanet" if library != "keras_pvt" else getattr(model, "system", "")
    if rank == 2 and not system:
        system = "classifier"
    task = SYSTEMS[system].task if system in SYSTEMS else "segmentation" if rank == 4 else None
    return library, system, task


def count_classes(model: keras.Model) -> int | None:
    """How many classes a model tells apart; None: it does not say, or none.

    Args:
        model: any.
    """
    _, _, task = kind_of(model)
    if task in (None, "detection"):
        return getattr(model, "num_classes", None)
    return model.output_shape[-1]


def _check_fit(where: str, model, task: str, classes: int) -> None:
    """Raise ValueError where the description in a file is of another model than the file's."""
    if kind_of(model)[2] != task:
        raise ValueError(f"{where} says that it is a {KINDS[task]}, and its model is none.")
    gives = count_classes(model)
    if gives not in (None, classes):
        raise ValueError(f"{where}: its model gives {gives} classes, and it names {classes}.")


def trained_of(
    model: keras.Model,
    classes: tuple[str, ...],
    size: tuple[int, int] | None,
    logits: bool | None = None,
) -> TrainedModel:
    """A model with what has to be known to use it, see `save_model`."""
    library, system, task = kind_of(model)
    if task not in VERBS:
        shape = getattr(model, "output_shape", None)
        raise ValueError(
            f"model {model.name!r} is no classifier, which gives (batch, classes), no segmenter, "
            "which gives (batch, height, width, classes), and no detector of keras_pvt; it gives "
            f"{shape}."
        )
    if len(set(classes)) != len(classes) or not all(classes):
        raise ValueError(f"`classes` must be different names; got {', '.join(map(repr, classes))}.")
    gives = count_classes(model)
    if gives not in (None, len(classes)):
        raise ValueError(f"the model gives {gives} classes; got {len(classes)} names.")
    if size is not None:
        size = _checked_size(size)
        sides = image_shape(model)[1:3]
        fits = all(side in (None, own) for side, own in zip(sides, size, strict=True))
        if task == "classification" and not fits:
            raise ValueError(f"the model takes images of {sides} pixels; got `size` {size}.")
    if size is None and task != "segmentation":
        size = image_shape(model)[1:3]
        if None in size:
            raise ValueError("the model takes images of any size; pass `size`, (height, width).")
    if logits is None:
        logits = task == "segmentation" or (task == "classification" and _ends_in_logits(model))
    return TrainedModel(model, task, system, classes, size, logits, library)


def _checked_size(size) -> tuple[int, int]:
    try:
        height, width = map(operator.index, size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(f"`size` must be (height, width) in pixels; got {size!r}.")
    return height, width


def _ends_in_logits(model) -> bool:
    """Whether the last layer applies nothing to what it gives.

    Raises:
        ValueError: it is a layer that does not tell.
    """
    logits = says_logits(model)
    if logits is None:
        last = model.outputs[0]._keras_history.operation
        raise ValueError(
            f"the last layer {last.name!r} does not tell whether it gives logits or probabilities; "
            "pass `logits`, True or False."
        )
    return logits


def says_logits(model: keras.Model) -> bool | None:
    """Whether the last layer of a functional model applies nothing to what it gives.

    Args:
        model: a classifier.
    Returns:
        None where it is a layer that does not tell.
    """
    last = model.outputs[0]._keras_history.operation
    name = getattr(getattr(last, "activation", None), "__name__", None)
    if isinstance(last, keras.layers.Softmax):
        name = "softmax"
    return name == "linear" if name in ("linear", "softmax", "sigmoid") else None


def _read(path: str | os.PathLike) -> tuple[dict[str, Any], str]:
    """The fields of a `TrainedModel` but for its model, checked, and the configuration as text."""
    where = os.fspath(path)
    try:
        members = _members(pathlib.Path(path))
        member = member_of(members)
        if member is None:
            raise CheckpointError(
                "it does not say what its classes are: keras-pvt train saves files that do, and "
                "keras_pvt.save_model(model, path, classes=[...]) does it in Python."
            )
        facts = read_facts(member, members[member]())
        config = members[CONFIG_MEMBER]()
        if len(config) > LARGEST_CONFIG:
            raise CheckpointError(f"its {CONFIG_MEMBER} has more than {LARGEST_CONFIG} bytes.")
        return facts, config.decode()
    except (KeyError, TypeError, RecursionError, ValueError) as error:
        reason = str(error) if isinstance(error, CheckpointError) else repr(error)
        raise ValueError(f"{where} is no trained model, a .keras file: {reason}") from error


def _members(path: pathlib.Path) -> dict[str, Callable[[], bytes]]:
    """What reads each member of a .keras file, or each file of such a folder."""
    if path.is_dir():
        files = (item for item in path.iterdir() if item.is_file())
        return {item.name: functools.partial(_bounded, item) for item in files}
    mapped = map_file(path)
    if not mapped[:4].startswith(LOCAL_HEADER):
        raise CheckpointError("it holds no model; `keras-pvt info FILE` says what it is.")
    archive = Archive(mapped)
    return {name: functools.partial(_unpacked, archive, name) for name in archive.names}


def _unpacked(archive: Archive, name: str) -> bytes:
    return bytes(archive.read(name))


def _bounded(path: pathlib.Path) -> bytes:
    """The content of a file, and no more than a byte above the largest that is read."""
    with path.open("rb") as file:
        return file.read(LARGEST_CONFIG + 1)
