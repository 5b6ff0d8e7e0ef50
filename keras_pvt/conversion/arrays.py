"""The arrays of a checkpoint by our names, to tell the widths of its model from."""

import itertools

import numpy as np

from keras_pvt import systems
from keras_pvt.conversion.key_map import as_stored, key_map
from keras_pvt.conversion.recognise import State, keras_array, layout_of
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
            self.entries = key_map(config, layout)
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
