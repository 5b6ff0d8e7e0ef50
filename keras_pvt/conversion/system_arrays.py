"""What a state dict says of the model that it is of."""

import itertools

import numpy as np

from keras_pvt.conversion.errors import CheckpointError
from keras_pvt.conversion.key_map import as_stored
from keras_pvt.conversion.recognise import State, keras_array, layout_of
from keras_pvt.conversion.systems import SYSTEMS, Outline
from keras_pvt.variants import PVTConfig


class SystemArrays:
    """Arrays of a segmenter's or detector's state dict by Keras's paths.

    Args:
        state: of the whole model, of any layout that it has.
        system: name of what it is.
        config: of its backbone.
        outline: the rest, as far as it is known.
    """

    def __init__(self, state: State, system: str, config: PVTConfig, outline: Outline):
        layout = layout_of(state)
        entries = SYSTEMS[system].in_layout(layout).key_map(config, outline)
        self.entries = as_stored(entries) if layout == "keras" else entries
        self.state = state
        self.system = system

    def get(self, path: str) -> np.ndarray | None:
        return keras_array(self.entries, self.state, path)

    def __getitem__(self, path: str) -> np.ndarray:
        array = self.get(path)
        if array is None or not array.ndim:
            keys = next(entry.torch for entry in self.entries if path in entry.keras)
            raise CheckpointError(
                f"the keys are those of {self.system}, but {', '.join(keys)} is missing, or has a "
                "wrong shape."
            )
        return array

    def count(self, path: str) -> int:
        """How many there are of what is numbered from 0, each with a `path` of its number."""
        return next(n for n in itertools.count() if self.get(path.format(n=n)) is None)
