"""Constructors of classifiers, like those of `keras.applications`."""

from collections.abc import Callable
from typing import Any

import keras

from keras_pvt import families
from keras_pvt.layers.base import dense
from keras_pvt.models import inputs
from keras_pvt.models.quantization import quantize_what_can_be
from keras_pvt.variants import VARIANTS, PVTConfig, are_none

# How the model ends without the top, and the layer by which it shows; None gives stage 4's map.
POOLINGS = {None: None, "avg": "avg_pool", "max": "max_pool", "token": "take_class_token"}


def classifier(
    variant: str | PVTConfig,
    include_top: bool = True,
    weights: str | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int | None = None,
    classifier_activation: str | Callable | None = "softmax",
    drop_rate: float = 0.0,
    attention_drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    include_preprocessing: bool = False,
    name: str | None = None,
    dtype=None,
) -> keras.Model:
    """Build a PVT or PVTv2 classifier, or the model without its head, as a functional model.

    Args:
        variant: a name from `keras_pvt.list_variants()`, or a `PVTConfig` of your own.
        include_top: whether the model has a head. The head reads PVT's class token, or the mean
            over PVTv2's stage 4.
        weights: None or "none" for random initial values; "imagenet" ("cifar10" for PVTNano);
            the path of a checkpoint: .pth, .safetensors, .npz, .weights.h5 or .keras; or a
            repository on a hub that contains one, "hf://OWNER/NAME[@REVISION][/FILE]".
        input_tensor: Keras tensor to start from, instead of a new input.
        input_shape: (height, width, channels), channels last; None leaves the height or width open
            until run time. The default with the top is the size that the variant was made for,
            (224, 224, 3) for the paper's variants; without it, (None, None, 3).
        pooling: output of a model without the top. None gives stage 4's map, as detectors use it,
            `(B, H / 32, W / 32, C)`; "avg" and "max" pool that map; "token" gives the normalised
            class token, which PVTv2 does not have. The last three give `(B, C)`. A head reads
            "token" of PVT and "avg" of PVTv2.
        classes: width of the head. The default is the width of the head in the file of `weights`,
            else the variant's, 1000 for the paper's variants. If it differs from the file's, the
            head keeps its initial values.
        classifier_activation: activation of the head; None gives logits, the values before softmax.
        drop_rate: probability of dropping a feature after a projection.
        attention_drop_rate: probability of dropping an attention weight.
        drop_path_rate: probability of dropping a residual branch of the last block; it falls
            linearly to 0 at the first block.
        include_preprocessing: whether the model takes RGB 0..255 and normalises it itself;
            otherwise pass images through `keras_pvt.preprocess_input` first.
        name: of the model; by default the variant's.
        dtype: policy of every layer, such as "mixed_bfloat16"; by default Keras's global policy. A
            half-precision model still returns its predictions in float32.
    Returns:
        A functional `keras.Model`. With the top it gives `(B, classes)`, which are probabilities
        unless `classifier_activation` is changed; without it, `pooling` decides the output.
    Raises:
        ValueError: an unknown variant, pooling or weights; a shape that does not work; weights
            that do not fit.
        OSError: weights that cannot be read or downloaded.
    Source:
        PVT, arXiv 2102.12122; PVTv2, arXiv 2106.13797; whai362/PVT classification/pvt.py and
        pvt_v2.py.
    """
    config = resolve(variant)
    family = families.named(config.family)
    if pooling not in POOLINGS:
        raise ValueError(f"`pooling` must be one of {tuple(POOLINGS)}; got {pooling!r}.")
    if include_top and pooling is not None:
        raise ValueError(
            f"`pooling` {pooling!r} has no meaning with the top; pass include_top=False."
        )
    if pooling == "token" and family.token is None:
        raise ValueError(
            f"`pooling` 'token' is not for {family.title}, which has no class token; 'avg' gives "
            "what its head sees."
        )
    weights = None if are_none(weights) else weights
    state = None
    if classes is None and include_top and weights is not None:
        from keras_pvt.weights import classes_of, read

        state = read(variant, weights)
        classes = classes_of(config, state)
    classes = config.classes if classes is None else classes
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise ValueError(f"`classes` must be an integer >= 1; got {classes!r}.")
    policy = keras.dtype_policies.get(dtype)
    images = inputs.make_input(
        input_shape, input_tensor, config, config.image_size if include_top else None
    )
    x = inputs.preprocess(images) if include_preprocessing else images
    rates = families.Rates(drop_rate, attention_drop_rate, drop_path_rate)
    if include_top or pooling == "token":
        x = family.load("features")(x, config, rates, policy)
    else:
        *_, x = family.load("pyramid")(x, config, rates, policy).values()
    # Softmax and loss want float32 where the rest is half precision.
    head_policy = "float32" if policy.compute_dtype in ("float16", "bfloat16") else policy
    if include_top:
        x = dense(classes, head_policy, name="head")(x)
        x = keras.layers.Activation(classifier_activation, dtype=head_policy, name="predictions")(x)
    elif pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D(
            data_format="channels_last", dtype=policy, name=POOLINGS["avg"]
        )(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling2D(
            data_format="channels_last", dtype=policy, name=POOLINGS["max"]
        )(x)
    source = keras.utils.get_source_inputs(images)
    source = source[0] if len(source) == 1 else source
    if name is None:
        name = variant if isinstance(variant, str) else config.family
    model = keras.Model(source, x, name=name)
    quantize_what_can_be(model)
    if weights is not None:
        from keras_pvt.weights import load

        load(model, variant, weights, state)
    return model


def from_arrays(arrays, size=None, logits: bool = False) -> keras.Model:
    """An untrained classifier of the widths of a checkpoint, see `System.from_arrays`.

    Without a head in the checkpoint, it ends in what a head would see, unless the file says
    otherwise.

    Args:
        arrays: of the checkpoint.
        size: (height, width) in pixels, None for what is open; by default the resolution of the
            checkpoint with a head, and open without.
        logits: leave softmax out.
    """
    config = arrays.config
    top = arrays.get("head/kernel") is not None
    sides = ((config.image_size,) * 2 if top else (None, None)) if size is None else size
    without = "avg" if families.named(config.family).token is None else "token"
    options: dict[str, Any] = {"pooling": None if top else without}
    options |= arrays.arguments(include_top=top, classes=config.classes)
    if logits:
        options["classifier_activation"] = None
    shape = (*sides, arrays.channels)
    return classifier(
        config, input_shape=shape, name=arrays.name, **arrays.known.backbone, **options
    )


def options_of(model: keras.Model) -> dict:
    """The arguments of `classifier` that are not its backbone's; see `System.options`."""
    layers = {layer.name: layer for layer in model.layers}
    if "head" not in layers:
        ends = (name for name, layer in POOLINGS.items() if layer in layers)
        return {"include_top": False, "pooling": next(ends, None)}
    last = layers.get("predictions")
    activation = "linear" if last is None else _serialized(last.activation)
    return {"include_top": True, "pooling": None, "classifier_activation": activation}


def _serialized(activation) -> Any:
    """What a configuration has for an activation: of one of Keras's own its name.

    `keras.activations.serialize` imports TensorFlow for the same answer, if it is installed, which
    takes seconds.
    """
    name = getattr(activation, "__name__", "")
    if getattr(keras.activations, name, None) is activation:
        return name
    return keras.activations.serialize(activation)


def from_recipe(recipe, num_classes: int) -> tuple[keras.Model, keras.Model]:
    """A classifier of logits to train, and itself, as its own backbone; see `System.build`."""
    model = classifier(
        recipe.variant,
        weights=recipe.weights,
        input_shape=(recipe.side, recipe.side, 3),
        classes=num_classes,
        classifier_activation=None,
        drop_path_rate=recipe.drop_path,
    )
    return model, model


def resolve(variant: str | PVTConfig) -> PVTConfig:
    """The configuration of a variant; a configuration stays as it is.

    Raises:
        ValueError: no row has this name.
    """
    if isinstance(variant, PVTConfig):
        return variant
    if variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; there are {', '.join(VARIANTS)}.")
    return VARIANTS[variant]


def _named(function_name: str, variant: str, default_weights: str | None, title: str):
    """A constructor with the signature of `keras.applications`, for one variant."""

    def constructor(
        include_top: bool = True,
        weights: str | None = default_weights,
        input_tensor=None,
        input_shape: tuple | None = None,
        pooling: str | None = None,
        classes: int | None = None,
        classifier_activation: str | Callable | None = "softmax",
        drop_rate: float = 0.0,
        attention_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        include_preprocessing: bool = False,
        name: str | None = None,
        dtype=None,
    ) -> keras.Model:
        return classifier(
            variant,
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            drop_rate=drop_rate,
            attention_drop_rate=attention_drop_rate,
            drop_path_rate=drop_path_rate,
            include_preprocessing=include_preprocessing,
            name=name,
            dtype=dtype,
        )

    constructor.__name__ = constructor.__qualname__ = function_name
    constructor.variant = variant  # type: ignore[attr-defined]
    # The arguments are those of `classifier`, but for the variant.
    sections = (classifier.__doc__ or "").partition("    Args:\n")[2]
    arguments = "        include_top" + sections.partition("        include_top")[2]
    constructor.__doc__ = f"{title}\n\n    Args:\n{arguments}"
    return constructor


_OURS = "a small model of our own for 32-pixel images, which is in no paper:"
PVTNano = _named("PVTNano", "pvt_nano", "cifar10", f"PVTNano, {_OURS} 1.8 million parameters.")
PVTTiny = _named("PVTTiny", "pvt_tiny", "imagenet", "PVT-Tiny, 13.2 million parameters.")
PVTSmall = _named("PVTSmall", "pvt_small", "imagenet", "PVT-Small, 24.5 million parameters.")
PVTMedium = _named("PVTMedium", "pvt_medium", "imagenet", "PVT-Medium, 44.2 million parameters.")
PVTLarge = _named("PVTLarge", "pvt_large", "imagenet", "PVT-Large, 61.4 million parameters.")
PVTV2Nano = _named(
    "PVTV2Nano", "pvt_v2_nano", "cifar10", f"PVTV2Nano, {_OURS} 2.1 million parameters."
)
PVTV2B0 = _named("PVTV2B0", "pvt_v2_b0", "imagenet", "PVTv2-B0, 3.7 million parameters.")
PVTV2B1 = _named("PVTV2B1", "pvt_v2_b1", "imagenet", "PVTv2-B1, 14.0 million parameters.")
PVTV2B2 = _named("PVTV2B2", "pvt_v2_b2", "imagenet", "PVTv2-B2, 25.4 million parameters.")
PVTV2B2Linear = _named(
    "PVTV2B2Linear",
    "pvt_v2_b2_li",
    "imagenet",
    "PVTv2-B2-Li, with linear attention: 22.6 million parameters.",
)
PVTV2B3 = _named("PVTV2B3", "pvt_v2_b3", "imagenet", "PVTv2-B3, 45.2 million parameters.")
PVTV2B4 = _named("PVTV2B4", "pvt_v2_b4", "imagenet", "PVTv2-B4, 62.6 million parameters.")
PVTV2B5 = _named("PVTV2B5", "pvt_v2_b5", "imagenet", "PVTv2-B5, 82.0 million parameters.")
