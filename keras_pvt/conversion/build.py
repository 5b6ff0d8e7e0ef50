"""The model that has just the weights of a checkpoint."""

import keras

from keras_pvt import systems
from keras_pvt.conversion.arrays import SystemArrays
from keras_pvt.conversion.convert import load_checkpoint
from keras_pvt.conversion.errors import CheckpointError
from keras_pvt.conversion.fit import Report
from keras_pvt.conversion.key_map import key_map
from keras_pvt.conversion.recognise import Found, config_of_state, keras_array, layout_of, trunk


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
        entries = key_map(config, layout_of(state))
        token = keras_array(entries, state, "class_token/token")
        name = "backbone" if token is None else "classifier"
    system = systems.SYSTEMS[name]
    try:
        arrays = SystemArrays(found.state, system, config, found.variant)
        model = system.load("from_arrays")(arrays, size, logits)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    return model, load_checkpoint(model, found.state)
