"""AdamW and Muon, with the settings of PVT's training."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_pvt.training.layerwise import LayerwiseAdamW, layer_factors
from keras_pvt.training.weight_decay import AdamW, Muon

# How the paths of the weights of norms end.
NORM = ("/gamma", "/beta")


def not_decayed(model: keras.Model) -> list[keras.Variable]:
    """Trainable weights that the official code does not decay: vectors and the class token.

    Vectors are biases and norms. Position tables do decay, including the class token's position.
    DeiT, on which that code is based, excludes them.
    Source:
        whai362/PVT classification/main.py, by timm 0.3.2's `add_weight_decay`.
    """
    return [
        variable
        for variable in model.trainable_variables
        if len(variable.shape) == 1 or variable.path.endswith("class_token/token")
    ]


def make_optimizer(
    name: str,
    model: keras.Model,
    rate: keras.optimizers.schedules.LearningRateSchedule | float,
    weight_decay: float,
    not_muon: Sequence[str] = (),
    *,
    clip_norm: float | None = 1.0,
    ema: float = 0.0,
    accumulate: int = 1,
    decay_all: bool = False,
    decay_norms: bool = True,
    factors: Mapping[str, float] | None = None,
    layer_decay: float = 1.0,
    frozen_steps: int = 0,
) -> keras.optimizers.Optimizer:
    """AdamW or Muon; the same weights decay as in the official code of the classifiers.

    Args:
        name: "adamw" (betas 0.9 and 0.999, epsilon 1e-8, which Keras adds to the second moment
            before that is corrected, PyTorch after) or "muon".
        model: the model to train.
        rate: learning rate, a number or a schedule by step.
        weight_decay: for the updates of AdamW and of Muon.
        not_muon: regular expressions for paths of matrices that AdamW updates under "muon".
        clip_norm: largest norm of all gradients together; None does not clip.
        ema: momentum of a moving average of the weights by update, such as 0.9999; 0 keeps none.
        accumulate: steps whose gradients are averaged before the weights change.
        decay_all: whether every weight decays, vectors and the class token too.
        decay_norms: whether norms decay too, if `decay_all`.
        factors: for "adamw": factor of the learning rate by path of the weight; 1 where a path is
            missing.
        layer_decay: for "adamw" without `factors`: factor of the learning rate from one block to
            the one before.
        frozen_steps: for "adamw": number of first steps (batches) in which only the head is
            trained.
    Returns:
        The optimizer, not yet built.
    Raises:
        ValueError: an unknown name, or "muon" with an option of "adamw".
    """
    kept = not_decayed(model)
    if decay_all:
        kept = [] if decay_norms else [one for one in kept if one.path.endswith(NORM)]
    settings: dict[str, Any] = {
        "weight_decay": weight_decay,
        "no_decay": [variable.path for variable in kept],
        "global_clipnorm": clip_norm,
        "use_ema": ema > 0,
        "ema_momentum": ema or 0.99,
        "gradient_accumulation_steps": accumulate if accumulate > 1 else None,
    }
    layerwise = bool(factors) or layer_decay < 1 or frozen_steps > 0
    if name == "muon":  # AdamW all the same for what is no matrix
        if layerwise:
            raise ValueError("rates by layer and frozen steps work with adamw; got muon.")
        return Muon(rate, adam_weight_decay=weight_decay, exclude_layers=list(not_muon), **settings)
    if name != "adamw":
        raise ValueError(f"the optimizer must be adamw or muon; got {name!r}.")
    if not layerwise:
        return AdamW(rate, epsilon=1e-8, **settings)
    settings["decoupled_decay"] = settings.pop("weight_decay")
    # A factor of 1 would not freeze: the whole trunk is marked by one just below it.
    factors = factors or layer_factors(model, min(layer_decay, 1 - 1e-7))
    return LayerwiseAdamW(rate, factors, frozen_steps=frozen_steps, epsilon=1e-8, **settings)
