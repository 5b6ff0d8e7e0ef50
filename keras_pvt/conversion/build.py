"""The model that has just the weights of a checkpoint."""

import copy
import dataclasses
import inspect
import itertools
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_pvt import families, systems
from keras_pvt.conversion.convert import load_checkpoint
from keras_pvt.conversion.description import Description, describe
from keras_pvt.conversion.fit import Report, left_out
from keras_pvt.conversion.known import BACKBONE, Known
from keras_pvt.conversion.maps.entries import as_stored, classifier_map
from keras_pvt.conversion.readers import CheckpointError
from keras_pvt.conversion.recognise import (
    Found,
    State,
    config_of_state,
    keras_array,
    layout_of,
    recognised,
    told_of_state,
    trunk,
)
from keras_pvt.variants import VARIANTS, PVTConfig


class SystemArrays:
    """Arrays of a checkpoint by the paths of Keras's variables.

    Args:
        state: of the whole model, in any layout that it has.
        system: record of what it is.
        config: row of its backbone.
        name: of the variant.
        known: what is known beside the weights.
    Attributes:
        channels: of the images.
        sides: (height, width) of the images in pixels, where the file tells, else None.
        told: arguments of the model that shapes of weights have told.
    """

    def __init__(
        self, state: State, system: systems.System, config: PVTConfig, name: str, known: Known
    ):
        self.state, self.system, self.config, self.name = state, system, config, name
        self.known, self.sides = known, known.sides
        self.told: dict[str, Any] = {}
        self.entries = self._map()
        kernel = self.get("stage1_patch_embedding/proj/kernel")
        self.channels = 3 if kernel is None else kernel.shape[2]
        if known.channels not in (None, self.channels):
            raise ValueError(
                f"the file says that images have {known.channels} channels, and its weights are "
                f"for {self.channels}."
            )

    def _map(self, **known) -> list:
        layout = layout_of(self.state)
        if not self.system.names:
            return classifier_map(self.config, layout)
        entries = self.system.key_map(layout, self.config, **known)
        return as_stored(entries) if layout == "keras" else entries

    def assuming(self, **known) -> "SystemArrays":
        """The same with attributes of the model that are known by now, see `System.key_map`."""
        other = copy.copy(self)
        other.entries = self._map(**known)
        return other

    def backbone(self, height: int | None = None, width: int | None = None):
        """An untrained `PVTBackbone` of the checkpoint's widths.

        Args:
            height: of the images in pixels; None for any.
            width: the same.
        """
        model = systems.SYSTEMS["backbone"].load("model")
        shape = (height, width, self.channels)
        return model(self.config, shape, name=self.name, **self.known.backbone)

    def arguments(self, **told) -> dict[str, Any]:
        """The arguments of the system's model: what shapes tell, and what is known beside them.

        Args:
            told: what the shapes of weights tell.
        Raises:
            ValueError: the file says otherwise than its weights; what no shape tells is not known.
        """
        self.told |= told
        options = self.known.options
        for name, value in told.items():
            if options.get(name, value) != value:
                raise ValueError(
                    f"the {name} of this {self.system.title} is {value!r} by its weights, and "
                    f"{options[name]!r} by what is said of it."
                )
        for name, usual in self.system.untold.items():
            if name not in options and name not in told:
                raise ValueError(
                    f"no weight of a {self.system.title} tells its {name}, and the file does not "
                    f"say it: `keras-pvt convert SOURCE DEST --set {name}=VALUE` does, or "
                    f"`options=` in Python; published ones have {usual!r}."
                )
        return {**options, **told}

    def get(self, path: str) -> np.ndarray | None:
        """The array of a variable; None where the checkpoint has none of a possible shape."""
        return keras_array(self.entries, self.state, path)

    def __getitem__(self, path: str) -> np.ndarray:
        """The array of a variable.

        Raises:
            ValueError: the checkpoint has none of a possible shape.
        """
        array = self.get(path)
        if array is None or not array.ndim:
            keys = next(entry.torch for entry in self.entries if path in entry.keras)
            raise ValueError(
                f"the keys are those of {self.system.name}, but {', '.join(keys)} is missing, or "
                "has a wrong shape."
            )
        return array

    def classes(self) -> int:
        """How many classes a whole system tells apart.

        Raises:
            ValueError: the checkpoint lacks the weights that tell it.
        """
        return self.system.load("classes")(self.__getitem__)

    def count(self, path: str) -> int:
        """How many there are of what is numbered from 0, each with a `path` of its number."""
        return next(n for n in itertools.count() if self.get(path.format(n=n)) is None)


def model_from_checkpoint(
    found: Found,
    size: tuple[int | None, int | None] | None = None,
    logits: bool = False,
    options: Mapping[str, Any] | None = None,
) -> tuple[keras.Model, Report]:
    """The model that a checkpoint is of, with its weights and its configuration.

    Sizes are those of the weights. What no shape tells, such as the number of heads, is the
    description's, which `.safetensors` files of this package have; without one, of the backbone it
    is the variant's. The model takes normalised images, unless the description says otherwise.

    Args:
        found: a state dict, and what it is; with a variant or a description.
        size: (height, width) in pixels of the images, None for what is open. By default that of the
            description; without one a classifier's are those of the checkpoint, a Trans2Seg's too
            if they are square, and all others are open.
        logits: leave a classifier's softmax out.
        options: arguments of the model that the file does not say, or says wrongly, by name, such
            as {"num_heads": 8}; those of the backbone begin with "backbone.".
    Returns:
        The model, and what its weights' loading skipped, and no weight tells.
    Raises:
        CheckpointError: weights that are missing, of no possible shape, or not finite; a size
            that they are not for; a description that they contradict, or that no model has; what
            no weight tells is not known.
    """
    given = {} if options is None else dict(options)
    try:
        system = _system(found)
        known = Known.of(system, found.description, given)
        state, _ = trunk(found.state)
        config = _config(state, found, known)
        name = found.variant or config.family
        if found.look_alike is not None:
            name = found.look_alike.name
        arrays = SystemArrays(found.state, system, config, name, known)
        size = known.sides if size is None else size
        model = system.load("from_arrays")(arrays, size, logits)
        own = _compared(describe(model), system, known, logits)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    report = load_checkpoint(model, dict(found.state))
    before = left_out(found.left, found.prefix, found.system is None)
    report.notices[:0], report.skipped = before.notices, before.skipped | report.skipped
    report.untold = _untold(own, arrays, found)
    report.classes = _names(own, found, report)
    return model, report


def built_otherwise(model: keras.Model, state: State) -> list[str]:
    """Which arguments of a detector or segmenter its weights in a checkpoint contradict.

    Args:
        model: built by keras_pvt.
        state: arrays by name, in any layout.
    Returns:
        Text for each argument, but for the number of classes and `System.numbers`; none for a
        model or a checkpoint that is no such system, or another one.
    """
    system, found = systems.of_model(model), recognised(state)
    if system is None or found.system != system.name:
        return []
    own = describe(model).options
    try:
        known = Known.of(system, found.description, {name: own[name] for name in system.untold})
        config = _config(trunk(found.state)[0], found, known)
        arrays = SystemArrays(found.state, system, config, found.variant or config.family, known)
        other = system.load("from_arrays")(arrays, known.sides, False)
    except ValueError:  # its weights make no model, whatever the arguments
        return []
    pairs = [
        (name, value, own[name])
        for name, value in arrays.told.items()
        if name not in ("num_classes", *system.numbers.values()) and not _same(value, own[name])
    ]
    theirs, ours = _sides(other), _sides(model)
    if None not in theirs and theirs != ours:
        pairs.append(("image size", "{}x{}".format(*theirs), "{}x{}".format(*ours)))
    return [f"{name} {value} in the checkpoint, {mine} in the model" for name, value, mine in pairs]


def _sides(model: keras.Model) -> tuple[int | None, ...]:
    """(height, width) of the images; None for what is open."""
    return tuple(keras.tree.flatten(model.input)[0].shape[1:3])


def _system(found: Found) -> systems.System:
    """The record of what a checkpoint is."""
    if found.system is not None:
        return systems.SYSTEMS[found.system]
    if found.description is not None:
        said = systems.named(found.description.system)
        return systems.SYSTEMS["backbone"] if said.names else said
    if found.variant is None:
        raise ValueError(f"{found.unknown}, and no description tells more.")
    state, _ = trunk(found.state)
    config = VARIANTS[found.variant]
    entries = classifier_map(config, layout_of(state))
    marks = ("head/kernel", families.named(config.family).token)
    whole = any(keras_array(entries, state, mark) is not None for mark in marks if mark)
    return systems.SYSTEMS["classifier" if whole else "backbone"]


def _config(state: State, found: Found, known: Known) -> PVTConfig:
    """The row of the backbone; what shapes tell of it is theirs."""
    said, row = dict(known.row), VARIANTS.get(found.variant or "")
    if row is not None and "depths" not in said:
        return config_of_state(state, dataclasses.replace(row, **said))
    if "depths" not in said:
        raise ValueError(f"{found.unknown}, and the file does not say which.")
    config = PVTConfig(**said)
    # A width that a file may choose would be memory that it may choose.
    told = told_of_state(state, config)
    untold = {"family", "classes", *families.named(config.family).untold}
    for name in {field.name for field in dataclasses.fields(config)} - untold | told.keys():
        weighed = told.get(name, getattr(row, name, None))
        if getattr(config, name) != weighed:
            raise ValueError(
                f"the {name} of the backbone is {weighed} by its weights, and "
                f"{getattr(config, name)} by what is said of it."
            )
    return config


def _defaults(system: systems.System) -> dict[str, Any]:
    parameters = inspect.signature(system.load("model")).parameters.values()
    return {one.name: one.default for one in parameters}


def _compared(own: Description, system: systems.System, known: Known, logits: bool) -> Description:
    """What a model is, if it came out as what is known of it; ValueError otherwise."""
    pairs = [
        (name, value, own.options.get(name))
        for name, value in known.options.items()
        if not (logits and name == "classifier_activation")
    ]
    pairs += [
        (f"{BACKBONE}{name}", value, of.get(name))
        for of, values in ((own.backbone["variant"], known.row), (own.backbone, known.backbone))
        for name, value in values.items()
    ]
    wrong = [f"{n} {came!r}, not {value!r}" for n, value, came in pairs if not _same(value, came)]
    if wrong:
        raise ValueError(
            f"the {system.title} came out with {'; '.join(wrong)}: its `from_arrays` must pass on "
            "what `SystemArrays.arguments` and `SystemArrays.backbone` give."
        )
    return own


def _names(own: Description, found: Found, report: Report) -> tuple[str, ...] | None:
    """The names of classes that came with a checkpoint, if they are as many as the model has."""
    count = own.options.get("num_classes")
    if own.options.get("include_top"):
        count = own.backbone["variant"]["classes"]
    if found.classes is None or count is None or len(found.classes) == count:
        return None if count is None else found.classes
    report.notices.append(
        f"the file names {len(found.classes)} classes, and its model has {count}: they are left out"
    )
    return None


def _same(value: Any, other: Any) -> bool:
    """Whether two values are equal in JSON; a rate may have passed through some arithmetic."""
    if isinstance(value, float) and isinstance(other, int | float):
        return math.isclose(value, other, rel_tol=1e-9)
    value, other = (list(one) if isinstance(one, tuple) else one for one in (value, other))
    return value == other


def _untold(own: Description, arrays: SystemArrays, found: Found) -> dict[str, Any]:
    """What of a model's configuration its weights alone would not give back."""
    system, row, usual = arrays.system, own.backbone["variant"], _defaults(arrays.system)
    untold = {
        name: value
        for name, value in own.options.items()
        if name not in arrays.told
        and (name in system.untold or not _same(value, usual.get(name, value)))
    }
    variant = VARIANTS.get(found.variant or "")
    for name in families.named(arrays.config.family).untold:
        if variant is None or not _same(getattr(variant, name), row[name]):
            untold[f"{BACKBONE}{name}"] = row[name]
    usual = _defaults(systems.SYSTEMS["backbone"])
    for name, value in own.backbone.items():
        if name not in ("variant", "input_shape") and not _same(value, usual[name]):
            untold[f"{BACKBONE}{name}"] = value
    if arrays.sides not in (None, (None, None)):
        untold[f"{BACKBONE}input_shape"] = own.backbone["input_shape"]
    return untold
