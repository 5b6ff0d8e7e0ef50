"""The base class of detectors, which compute their own losses."""

import typing
from collections.abc import Sequence

import keras
from keras import ops

from keras_pvt.models.dense_prediction import DensePredictionModel
from keras_pvt.ops import replica_share


class DetectionModel(DensePredictionModel):
    """A model that computes its own losses, and is compiled without one.

    Under `tf.distribute` and torch's DDP, each device's losses are of its own images, as in
    mmdetection, and gradients are averaged.

    Attributes:
        loss_names: names of the losses in the logs; the loss is their sum.
    """

    loss_names: typing.ClassVar[Sequence[str]]

    def track_losses(self, names: Sequence[str] | None = None) -> None:
        """Log each loss by its name. Constructors call this, after `keras.Model`'s own.

        Args:
            names: by default `loss_names`.
        """
        names = self.loss_names if names is None else names
        self.loss_means = [keras.metrics.Mean(name=name) for name in names]

    def image_maps(self) -> dict[str, keras.KerasTensor]:
        """Tensors at which the model can be cut in two.

        Up to them it needs the images alone, and takes most of its time; after them, sizes too.

        Returns:
            Keras tensors of the model, by names; none where it cannot be cut.
        """
        return {
            f"{output}_{level}": tensor
            for output, levels in self.output.items()
            for level, tensor in levels.items()
        }

    def padded_detector(self) -> keras.Model:
        """A model that ends in boxes, of images that have padding.

        Returns:
            What `detector` returns, for {"images": images, "sizes": (height, width) of each}.
        """
        return self.detector(padded=True)

    def loss_parts(self, x, y, y_pred) -> Sequence:
        """A scalar for each of `loss_names`.

        Args:
            x: what the model takes.
            y: labels, as the class says.
            y_pred: what the model gives.
        """
        raise NotImplementedError

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if self.loss is not None or sample_weight is not None:
            raise ValueError(
                f"{type(self).__name__} computes its own losses and weighs no samples: compile it "
                "without `loss`, and fit it without `sample_weight`."
            )
        losses = self.loss_parts(x, y, y_pred)
        for mean, loss in zip(self.loss_means, losses, strict=True):
            mean.update_state(loss)
        return replica_share(sum(losses) + sum(ops.sum(loss) for loss in self.losses))
