"""The model that has just the weights of a checkpoint."""

import itertools

import keras
import numpy as np

from keras_pvt import families, systems
from keras_pvt.conversion.convert import load_checkpoint
from keras_pvt.conversion.fit import Report
from keras_pvt.conversion.maps.entries import as_stored, classifier_map
from keras_pvt.conversion.readers import CheckpointError
from keras_pvt.conversion.recognise import (
    Found,
    State,
    config_of_state,
    keras_array,
    layout_of,
    trunk,
)
from keras_pvt.variants import PVTConfig


class SystemArrays:
    """Arrays of a checkpoint by the paths of Keras's variables.

    Args:
        state: of the whole model, in any layout that it has.
        system: record of what it is.
        config: row of its backbone.
        name: of the variant.
        known: what is known of the model, see `System.key_map`.
    Attributes:
        channels: of the images.
    """

    def __init__(self, state: State, system: systems.System, config: PVTConfig, name: str, **known):
        layout = layout_of(state)
        if system.names:
            entries = system.key_map(layout, config, **known)
            self.entries = as_stored(entries) if layout == "keras" else entries
        else:
            self.entries = classifier_map(config, layout)
        self.state, self.system, self.config, self.name = state, system, config, name
        kernel = self.get("stage1_patch_embedding/proj/kernel")
        self.channels = 3 if kernel is None else kernel.shape[2]

    def assuming(self, **known) -> "SystemArrays":
        """The same with attributes of the model that are known by now."""
        return SystemArrays(self.state, self.system, self.config, self.name, **known)

    def backbone(self, height: int | None = None, width: int | None = None):
        """An untrained `PVTBackbone` of the checkpoint's widths, for normalised images.

        Args:
            height: of the images in pixels; None for any.
            width: the same.
        """
        model = systems.SYSTEMS["backbone"].load("model")
        return model(self.config, (height, width, self.channels), name=self.name)

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

    def count(self, path: str) -> int:
        """How many there are of what is numbered from 0, each with a `path` of its number."""
        return next(n for n in itertools.count() if self.get(path.format(n=n)) is None)


def model_from_checkpoint(
    found: Found, size: tuple[int | None, int | None] | None = None, logits: bool = False
) -> tuple[keras.Model, Report]:
    """The model that a checkpoint is of, with its weights; it takes normalised images.

    Args:
        found: a state dict, and what it is; with a variant.
        size: (height, width) in pixels of the images, None for what is open. By default a
            classifier's are those of the checkpoint, a Trans2Seg's too if they are square, and
            all others are open.
        logits: leave a classifier's softmax out.
    Returns:
        The model, and what its weights' loading skipped.
    Raises:
        CheckpointError: weights that are missing, of no possible shape, or not finite; a size
            that they are not for.
    """
    assert found.variant is not None
    state, _ = trunk(found.state)
    config = config_of_state(state, found.variant)
    name = found.system
    if name is None:
        entries = classifier_map(config, layout_of(state))
        marks = ("head/kernel", families.named(config.family).token)
        whole = any(keras_array(entries, state, mark) is not None for mark in marks if mark)
        name = "classifier" if whole else "backbone"
    system = systems.SYSTEMS[name]
    try:
        arrays = SystemArrays(found.state, system, config, found.variant)
        model = system.load("from_arrays")(arrays, size, logits)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    return model, load_checkpoint(model, found.state)
