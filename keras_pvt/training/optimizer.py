"""AdamW and Muon as PVT is trained with them."""

from collections.abc import Sequence

import keras


def make_optimizer(
    name: str,
    model: keras.Model,
    rate: keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float,
    not_muon: Sequence[str] = (),
) -> keras.optimizers.Optimizer:
    """AdamW or Muon, with the gradient's norm clipped at 1.

    Vectors (biases, norms) and the class token do not decay, as in the official code.

    Args:
        name: "adamw" or "muon".
        model: whose weights are going to be trained.
        rate: learning rate by step.
        weight_decay: for both kinds of update.
        not_muon: expressions for paths of matrices that AdamW updates all the same.
    """
    settings = {"weight_decay": weight_decay, "global_clipnorm": 1.0}
    if name == "muon":  # AdamW all the same for what is no matrix
        optimizer = keras.optimizers.Muon(
            rate, adam_weight_decay=weight_decay, exclude_layers=list(not_muon), **settings
        )
    else:
        optimizer = keras.optimizers.AdamW(rate, **settings)
    optimizer.exclude_from_weight_decay(
        var_list=[
            variable
            for variable in model.trainable_variables
            if len(variable.shape) == 1 or variable.path.startswith("class_token")
        ]
    )
    return optimizer
