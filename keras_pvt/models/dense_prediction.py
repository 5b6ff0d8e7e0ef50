"""The base classes of segmentation models and detectors."""

import functools

import keras

from keras_pvt.layers import base
from keras_pvt.models.quantization import quantize_what_can_be


class DensePredictionModel(keras.Model):
    """A functional model of a backbone and heads, which is saved with its backbone.

    The backbone's layers are layers of the model itself, under their own names, so that its
    weights have the same paths as in the backbone alone.
    """

    @staticmethod
    def backbone_input(backbone: keras.Model):
        """The input of a backbone.

        Raises:
            ValueError: it has none yet, or more than one.
        """
        images = getattr(backbone, "input", None)
        if not keras.utils.is_keras_tensor(images):
            raise ValueError(
                "`backbone` must be a functional keras.Model with one image input; got "
                f"{type(backbone).__name__}."
            )
        return images

    @staticmethod
    def policy_for(backbone: keras.Model, dtype):
        return keras.dtype_policies.get(
            getattr(backbone, "dtype_policy", None) if dtype is None else dtype
        )

    @staticmethod
    def logits_policy(policy):
        """Policy of the logits: softmax and loss want float32 where the rest is half precision."""
        return "float32" if policy.compute_dtype in ("float16", "bfloat16") else policy

    def store_config(self, backbone: keras.Model, policy, **options) -> None:
        """Keep what `get_config` returns."""
        self.dtype_policy = policy
        # Serialized on demand, since that imports TensorFlow, wherever it is installed.
        self._backbone_config = functools.partial(_serialized, backbone)
        self._options = options
        self.num_classes = options["num_classes"]
        quantize_what_can_be(self)

    def get_config(self):
        return {
            "backbone": self._backbone_config(),
            **self._options,
            "name": self.name,
            "dtype": base.policy_config(self),
            "trainable": self.trainable,
            "inner_trainable": base.inner_trainable(self),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        trainable = config.pop("trainable", True), config.pop("inner_trainable", None)
        config["backbone"] = keras.saving.deserialize_keras_object(
            config["backbone"], custom_objects=custom_objects
        )
        backbone = config["backbone"]
        outputs = getattr(backbone, "output", None)
        if not hasattr(backbone, "pyramid_outputs") and isinstance(outputs, dict):
            backbone.pyramid_outputs = outputs  # see `_serialized`
        config["dtype"] = keras.dtype_policies.get(config["dtype"])
        model = cls(**config)
        base.set_trainable(model, *trainable)
        return model


def _serialized(backbone: keras.Model) -> dict:
    """A backbone for a file. A plain functional model has no room for `pyramid_outputs` there, so
    one whose outputs they are stands for it."""
    plain = keras.Model(backbone.input, dict(backbone.pyramid_outputs), name=backbone.name)
    return keras.saving.serialize_keras_object(plain if type(backbone) is type(plain) else backbone)


def options_of(model: DensePredictionModel) -> dict:
    """The arguments of a model, but for backbone, name and dtype; see `System.options`."""
    return dict(model._options)


class SegmentationModel(DensePredictionModel):
    """A functional model from a backbone's input to logits, that saves with its backbone."""
