"""The backbone: a model that outputs a feature pyramid."""

import dataclasses

import keras

from keras_pvt import families
from keras_pvt.layers import base
from keras_pvt.models import inputs
from keras_pvt.models.classifier import resolve
from keras_pvt.models.quantization import quantize_what_can_be
from keras_pvt.variants import PVTConfig, are_none


@base.register
class PVTBackbone(keras.Model):
    """PVT or PVTv2 as a backbone for dense prediction: feature maps at four strides.

    As in the official detection code, PVT has no class token and no norm after a stage here. The
    maps of PVTv2 are taken after the norm of each stage. This is a plain functional model. keras-cv
    and KerasHub read its attributes; neither library is needed.

    Args:
        variant: a name from `keras_pvt.list_variants()`, or a `PVTConfig` of your own.
        input_shape: (height, width, channels), channels last; None leaves the height or width open
            until run time.
        weights: None or "none" for random initial values; "imagenet" ("cifar10" for the small
            variants for 32 pixels); the path of a checkpoint; or a repository on a hub,
            "hf://OWNER/NAME[@REVISION][/FILE]". Weights that only a classifier has, such as the
            head, are left out.
        drop_rate: probability of dropping a feature after a projection.
        attention_drop_rate: probability of dropping an attention weight.
        drop_path_rate: probability of dropping a residual branch of the last block; it falls
            linearly to 0 at the first block.
        include_preprocessing: whether the model takes RGB 0..255 and normalises it itself;
            otherwise pass images through `keras_pvt.preprocess_input` first.
        name: of the model; by default the variant's.
        dtype: policy of every layer; by default Keras's global policy.
    Call arguments:
        x: float images `(B, H, W, channels)`.
    Returns:
        P5, `(B, H / 32, W / 32, 512)`; PVT rounds sides down at each stage, PVTv2 up. PVTNano and
        PVTV2Nano have half the strides, so they have P1 to P4 where the others have P2 to P5.
    Attributes:
        config: the `PVTConfig`.
        pyramid_outputs: dictionary from level to Keras tensor, {"P2": (B, H / 4, W / 4, 64), ...};
            for `keras.Model(backbone.input, backbone.pyramid_outputs)`.
        pyramid_level_inputs: dictionary from level to the name of the layer that outputs it.
        embedding_dims: channels of the levels.
    Raises:
        ValueError: an unknown variant or weights; a shape that does not work; weights that do
            not fit.
        OSError: weights that cannot be read or downloaded.
    Source:
        PVT, arXiv 2102.12122; PVTv2, arXiv 2106.13797; whai362/PVT detection/pvt.py and
        pvt_v2.py.
    """

    def __init__(
        self,
        variant: str | PVTConfig,
        input_shape: tuple = (None, None, 3),
        weights: str | None = None,
        drop_rate: float = 0.0,
        attention_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        include_preprocessing: bool = False,
        name: str | None = None,
        dtype=None,
    ):
        config = resolve(variant)
        policy = keras.dtype_policies.get(dtype)
        images = inputs.make_input(input_shape, None, config, None)
        x = inputs.preprocess(images) if include_preprocessing else images
        rates = families.Rates(drop_rate, attention_drop_rate, drop_path_rate)
        maps = families.named(config.family).load("pyramid")(x, config, rates, policy)
        if name is None:
            name = self._name_by_default(variant, config)
        super().__init__(images, list(maps.values())[-1], name=name)
        quantize_what_can_be(self)
        self.dtype_policy = policy
        self.config = config
        self.rates = rates
        self.include_preprocessing = include_preprocessing
        self.pyramid_outputs = dict(zip(config.levels, maps.values(), strict=True))
        self.pyramid_level_inputs = dict(zip(config.levels, maps, strict=True))
        self.embedding_dims = config.embed_dims
        if weights is not None and not are_none(weights):
            from keras_pvt.weights import load

            load(self, variant, weights)

    @staticmethod
    def _name_by_default(variant, config: PVTConfig) -> str | None:
        """None has Keras name the model after its class."""
        return variant if isinstance(variant, str) else config.family

    @classmethod
    def from_arrays(cls, arrays, size=None, logits: bool = False) -> "PVTBackbone":
        """An untrained model of the widths of a checkpoint, see `System.from_arrays`."""
        return arrays.backbone(*(size or (None, None)))

    @classmethod
    def from_recipe(
        cls, recipe, input_shape: tuple = (None, None, 3), name: str | None = None
    ) -> "PVTBackbone":
        """The backbone of a model to train, with its weights to start from; it takes RGB 0..255.

        Args:
            recipe: names the variant, the weights (empty or "none" for none) and the rate of
                dropping, and may freeze the backbone.
            input_shape: as of the constructor.
            name: of the model; by default the variant's.
        """
        backbone = cls(
            recipe.variant,
            input_shape,
            weights=recipe.weights,
            drop_path_rate=recipe.drop_path,
            include_preprocessing=True,
            name=name,
        )
        backbone.trainable = not getattr(recipe, "freeze_backbone", False)
        return backbone

    def get_config(self):
        return {
            **_arguments(self.config, self.input_shape[1:], self.rates, self.include_preprocessing),
            "name": self.name,
            "dtype": base.policy_config(self),
            "trainable": self.trainable,
            "inner_trainable": base.inner_trainable(self),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        trainable = config.pop("trainable", True), config.pop("inner_trainable", None)
        config["variant"] = PVTConfig(**config["variant"])
        config["dtype"] = keras.dtype_policies.get(config["dtype"])
        config["input_shape"] = tuple(config["input_shape"])
        backbone = cls(**config)
        base.set_trainable(backbone, *trainable)
        return backbone


def options_of(model: keras.Model) -> dict:
    """The arguments of the `PVTBackbone` in a model, read off its layers.

    Args:
        model: any model that keras_pvt built; see `System.options`.
    Raises:
        ValueError: there is no backbone of any family in it.
    """
    shape = inputs.image_shape(model)[1:]
    options = _arguments(
        families.config_of(model), shape, families.rates_of(model), inputs.takes_pixels(model)
    )
    if len(shape) != 3:  # what comes before the backbone makes images of something else
        del options["input_shape"]
    return options


def _arguments(config, input_shape, rates, include_preprocessing) -> dict:
    """As `get_config` and files have them."""
    return {
        "variant": dataclasses.asdict(config),
        "input_shape": input_shape,
        "drop_rate": rates.drop,
        "attention_drop_rate": rates.attention_drop,
        "drop_path_rate": rates.drop_path,
        "include_preprocessing": include_preprocessing,
    }
