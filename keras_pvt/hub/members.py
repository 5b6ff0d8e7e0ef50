"""PVT as a member of KerasHub: presets, LoRA and preprocessors. Needs `keras-hub`.

`keras_pvt.PVTBackbone` works in KerasHub's tasks as it is. These classes are the same graph
with what KerasHub expects of its own; import the module to load a preset made with them.
"""

import keras_hub

from keras_pvt.layers import base
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.preprocessing import channel_statistics

_MEAN, _STD = channel_statistics(3)
_SCALE = tuple(1 / (255 * std) for std in _STD)
_OFFSET = tuple(-mean / std for mean, std in zip(_MEAN, _STD, strict=True))


@base.register
class PVTHubBackbone(PVTBackbone, keras_hub.models.FeaturePyramidBackbone):
    """`keras_pvt.PVTBackbone` with `save_to_preset`, `from_preset` and `enable_lora`.

    Arguments, attributes and the order of the weights are those of `keras_pvt.PVTBackbone`, so
    that `set_weights(other.get_weights())` and `.weights.h5` files move weights either way. A name
    that is not given comes from the class, as KerasHub's do.

    Attributes:
        image_shape: (height, width, channels), by KerasHub's name.
    """

    @staticmethod
    def _name_by_default(variant, config):
        return None

    @property
    def image_shape(self):
        return self.input_shape[1:]

    def default_lora_layer_names(self):
        return ["query", "key_value"]


@base.register
class PVTSegFormerEncoder(PVTHubBackbone):
    """The backbone for `keras_hub.models.SegFormerBackbone`, which counts levels from P1.

    Attributes:
        pyramid_outputs: level to Keras tensor, "P1" to "P4" for strides 4 to 32.
        hidden_dims: channels of the levels.
    """

    # KerasHub has a property here, where mypy sees the attribute of `keras_pvt.PVTBackbone`.
    @PVTHubBackbone.pyramid_outputs.getter  # type: ignore[misc, attr-defined]
    def pyramid_outputs(self):
        maps = super().pyramid_outputs.values()
        return {f"P{level}": x for level, x in enumerate(maps, start=1)}

    @property
    def hidden_dims(self):
        return self.embedding_dims


@base.register
class PVTImageConverter(keras_hub.layers.ImageConverter):
    """Resizes images 0..255 and normalises them by the ImageNet statistics.

    For a backbone with `include_preprocessing=False`; with True, pass `scale=None` and
    `offset=None`, lest images are normalised twice.

    Args:
        image_size: (height, width) to resize to; None keeps the size.
        scale: factor of each channel.
        offset: added to each channel, after `scale`.
        **kwargs: further arguments of `keras_hub.layers.ImageConverter`.
    """

    backbone_cls = PVTHubBackbone

    def __init__(
        self,
        image_size: tuple | None = None,
        scale=_SCALE,
        offset=_OFFSET,
        **kwargs,
    ):
        super().__init__(image_size=image_size, scale=scale, offset=offset, **kwargs)


@base.register
class PVTImageClassifierPreprocessor(keras_hub.models.ImageClassifierPreprocessor):
    """Images to the input of a `PVTImageClassifier`, by its `image_converter`."""

    backbone_cls = PVTHubBackbone
    image_converter_cls = PVTImageConverter


@base.register
class PVTImageClassifier(keras_hub.models.ImageClassifier):
    """`keras_hub.models.ImageClassifier` on a `PVTHubBackbone`, loadable by `from_preset`.

    A pooled map and a new head. The paper's classifier, with its class token and its pretrained
    head, is `keras_pvt.classifier`.
    """

    backbone_cls = PVTHubBackbone
    preprocessor_cls = PVTImageClassifierPreprocessor

    def get_config(self):
        return {
            **super().get_config(),
            "trainable": self.trainable,
            "inner_trainable": base.inner_trainable(self),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        trainable = config.pop("trainable", True), config.pop("inner_trainable", None)
        classifier = super().from_config(config)
        base.set_trainable(classifier, *trainable)
        return classifier
