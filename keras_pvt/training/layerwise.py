"""AdamW with a separate learning rate for each depth of a model."""

import re
from collections.abc import Collection, Mapping

import keras

from keras_pvt.training.averages import AveragedByUpdates
from keras_pvt.training.weight_decay import SavedExclusions

BLOCK = re.compile(r"stage\d+_block\d+$")


def layer_factors(model: keras.Model, decay: float) -> dict[str, float]:
    """Return the factor of each weight's learning rate in a PVT: smaller nearer to the image.

    The head and the last norm get 1, the last block `decay`, the block before `decay` squared, and
    so on. Layers between two blocks belong to the earlier block.

    Args:
        model: a classifier, backbone, or any functional model with layers named as theirs; or a
            functional or sequential model with such a model inside.
        decay: above 0, at most 1.
    Returns:
        Factor by path of the trainable variable.
    Raises:
        ValueError: a decay out of range, or below 1 for a model without such layers.
    Source:
        Bao et al., BEiT, arXiv 2106.08254, section 3.1, for networks of equal blocks.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"`decay` must be above 0 and at most 1; got {decay}.")
    layers = _flat(model)
    blocks = sum(bool(BLOCK.match(layer.name)) for layer in layers)
    if decay < 1 and not blocks:
        raise ValueError(
            f"model {model.name!r} has no layers that are called as a PVT's blocks, such as "
            "stage1_block0, so that their rates cannot differ; pass a classifier or backbone of "
            "keras_pvt, or a model around one."
        )
    seen, factors = 0, dict[str, float]()
    for layer in layers:
        seen += bool(BLOCK.match(layer.name))
        last = seen == blocks and not BLOCK.match(layer.name)
        factor = 1.0 if last else decay ** (blocks + 1 - seen)
        factors |= {variable.path: factor for variable in layer.trainable_variables}
    return factors


def _flat(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model in their order, with those of a model within it in its place."""
    inside = [_flat(one) if isinstance(one, keras.Model) else [one] for one in model.layers]
    return [layer for layers in inside for layer in layers]


@keras.saving.register_keras_serializable(package="keras_pvt")
class LayerwiseAdamW(SavedExclusions, AveragedByUpdates, keras.optimizers.Adam):
    """AdamW whose learning rate, and with it the decay, has a factor for each weight.

    Args:
        learning_rate: number or schedule, for a factor of 1.
        factors: factor of the learning rate by path of the weight; 1 where a path is missing.
        decoupled_decay: weight decay; it is multiplied by the weight's own rate.
        no_decay: paths of weights that do not decay.
        frozen_steps: number of first steps (batches) in which weights with a factor below 1 do not
            change. This protects them from the first gradients of a new head. It saves no time,
            because their gradients are still computed.
        **kwargs: further arguments of `keras.optimizers.Adam`.
    """

    def __init__(
        self,
        learning_rate=1e-3,
        factors: Mapping[str, float] | None = None,
        decoupled_decay: float = 0.0,
        no_decay: Collection[str] = (),
        frozen_steps: int = 0,
        **kwargs,
    ):
        super().__init__(learning_rate, no_decay=no_decay, **kwargs)
        self.factors = dict(factors or {})
        self.decoupled_decay = decoupled_decay
        self.frozen_steps = frozen_steps

    def build(self, variables):
        super().build(variables)
        # By number: what TensorFlow hands to `update_step` has no path.
        self._by_number = [
            (self.factors.get(path, 1.0), path not in self.no_decay) for path in self.trained
        ]

    def update_step(self, gradient, variable, learning_rate):
        factor, decays = self._by_number[self._get_variable_index(variable)]
        rate = keras.ops.cast(learning_rate, "float32") * factor
        if factor < 1 and self.frozen_steps:
            # Keras counts updates here; the first gradient of this one must be of a thawed step.
            begun = self.iterations * (self.gradient_accumulation_steps or 1)
            thawed = keras.ops.cast(begun >= self.frozen_steps, "float32")
            rate = rate * thawed
        if self.decoupled_decay and decays:
            share = keras.ops.cast(self.decoupled_decay * rate, variable.dtype)
            self.assign_sub(variable, keras.ops.multiply(variable, share))
        super().update_step(gradient, variable, rate)

    def get_config(self):
        return {
            **super().get_config(),
            "factors": self.factors,
            "decoupled_decay": self.decoupled_decay,
            "frozen_steps": self.frozen_steps,
        }
