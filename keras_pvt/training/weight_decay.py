"""Keras's optimizers, which here also save which weights do not decay."""

import warnings
from collections.abc import Collection, Sequence
from typing import Any

import keras

from keras_pvt.training.averages import AveragedByUpdates


class SavedExclusions(keras.optimizers.Optimizer):
    """Stores the weights that do not decay in the configuration of an optimizer.

    `exclude_from_weight_decay` of Keras 3.15 is not saved: a loaded model decays every weight. List
    this class before the optimizer of Keras in the bases.

    Args:
        learning_rate: number or schedule.
        no_decay: paths of weights that do not decay.
        trained: paths of the weights that the optimizer was built for, in their order. A loaded
            model may have other paths: those of a Sequential lack its own name at their start.
        **kwargs: further arguments of the optimizer.
    """

    def __init__(
        self,
        learning_rate=1e-3,
        *,
        no_decay: Collection[str] = (),
        trained: Sequence[str] = (),
        **kwargs,
    ):
        super().__init__(learning_rate, **kwargs)
        self.no_decay, self.trained = set(no_decay), tuple(trained)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        paths = tuple(variable.path for variable in variables)
        if [*map(_last, paths)] != [*map(_last, self.trained)]:
            self.trained = paths
        exempt = [
            v for v, path in zip(variables, self.trained, strict=True) if path in self.no_decay
        ]
        if exempt:
            self.exclude_from_weight_decay(var_list=exempt)
        elif self.no_decay:
            warnings.warn(
                f"none of the {len(self.no_decay)} weights that must not decay, such as "
                f"{min(self.no_decay)}, is among the {len(paths)} that are trained: all decay. "
                "Make the optimizer for this model.",
                stacklevel=2,
            )
        super().build(variables)

    def get_config(self):
        own = {"no_decay": sorted(self.no_decay), "trained": list(self.trained)}
        return {**super().get_config(), **own}


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _as_made(kind: Any) -> type:
    """The class of what a class of Keras makes: on PyTorch another one, which updates all weights
    in one go, and which a subclass would miss."""
    return type(kind.__new__(kind))


@keras.saving.register_keras_serializable(package="keras_pvt")
class AdamW(
    SavedExclusions,
    AveragedByUpdates,
    _as_made(keras.optimizers.AdamW),  # type: ignore[misc]
):
    """Keras's AdamW, with `no_decay` and an average by updates."""


@keras.saving.register_keras_serializable(package="keras_pvt")
class Muon(
    SavedExclusions,
    AveragedByUpdates,
    _as_made(keras.optimizers.Muon),  # type: ignore[misc]
):
    """Keras's Muon, with `no_decay` and an average by updates."""
