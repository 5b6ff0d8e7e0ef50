"""Which checkpoint key of Trans2Seg belongs to which Keras variable."""

from collections.abc import Callable

import numpy as np

from keras_pvt.conversion.layouts import (
    CONV,
    COUNTER,
    DENSE,
    DEPTHWISE,
    POSITION_WITH_CLASS,
    SAME,
    split,
)
from keras_pvt.conversion.maps.entries import (
    Entry,
    batch_norm,
    conv,
    dense,
    kernel,
    norm,
    pyramid_map,
)
from keras_pvt.variants import PVTConfig

PARTS = ("features", "maps")
BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def key_map(config: PVTConfig, model) -> list[Entry]:
    """Every weight of a `Trans2Seg` on PVT, in the order of xieenze/Trans2Seg's state dict."""
    vit, head = "transformer_head.transformer.vit", "transformer_head"
    token = "transformer_class_token"
    entries = pyramid_map("encoder.", config)
    entries += [
        Entry((f"{vit}.cls_token",), (f"{token}/token",), SAME),
        Entry(
            (f"{vit}.pos_embed",),
            (f"{token}/position", "transformer_position/table"),
            POSITION_WITH_CLASS,
        ),
        Entry((f"{vit}.cls_embed",), ("prototypes/table",), SAME),
    ]
    for n in range(model.depth):
        entries += _encoder_block(f"{vit}.blocks_encoder.{n}", f"transformer_encoder{n}")
    for n in range(model.depth):
        entries += _decoder_block(f"{vit}.blocks_decoder.{n}", f"decoder{n}")
    entries += norm(f"{vit}.norm", "transformer_norm")
    entries += dense((f"{vit}.hybrid_embed.proj",), "transformer_embedding")
    ours = "prototype_head"
    if model.skip_level is not None:
        entries.append(kernel(f"{head}.conv_c1.conv", f"{ours}/skip"))
        entries += batch_norm(f"{head}.conv_c1.bn", f"{ours}/skip")
    entries += _first_convolution(f"{head}.lay1.block", ours, model.embed_dim)
    for n in (2, 3) if model.skip_level is not None else (2,):
        theirs, depthwise = f"{head}.lay{n}.block", f"{ours}/depthwise_{n}"
        entries += [
            Entry((f"{theirs}.depthwise.weight",), (f"{depthwise}/kernel",), DEPTHWISE),
            *batch_norm(f"{theirs}.bn_depth", depthwise),
            kernel(f"{theirs}.pointwise", f"{ours}/pointwise{n}"),
            *batch_norm(f"{theirs}.bn_point", f"{ours}/norm{n}", suffix=""),
        ]
    return entries + conv(f"{head}.pred", f"{ours}/logit")


def _encoder_block(torch: str, keras: str) -> list[Entry]:
    attention = f"{keras}/attention"
    return [
        *norm(f"{torch}.norm1", f"{keras}/norm1"),
        Entry(
            (f"{torch}.attn.qkv.weight",),
            (f"{attention}/query/kernel", f"{attention}/key_value/kernel"),
            split(DENSE, lambda rows: rows // 3),
        ),
        *dense((f"{torch}.attn.proj",), f"{attention}/proj"),
        *norm(f"{torch}.norm2", f"{keras}/norm2"),
        *dense((f"{torch}.mlp.fc1",), f"{keras}/feed_forward/fc1"),
        *dense((f"{torch}.mlp.fc2",), f"{keras}/feed_forward/fc2"),
    ]


def _decoder_block(torch: str, keras: str) -> list[Entry]:
    entries = norm(f"{torch}.norm1", f"{keras}/feature_norm")
    entries += norm(f"{torch}.norm1_clsembed", f"{keras}/query_norm")
    for theirs, ours in (("fc_q", "query"), ("fc_kv", "key_value")):
        entries.append(
            Entry((f"{torch}.attn.{theirs}.weight",), (f"{keras}/{ours}/kernel",), DENSE)
        )
    entries += dense((f"{torch}.attn.proj",), f"{keras}/proj")
    for n in (2, 3, 4):
        entries += norm(f"{torch}.norm{n}", f"{keras}/norm{n}")
    mlps = {"mlp": "query_mlp", "mlp2": "feature_mlp", "mlp3": "attention_mlp"}
    for theirs, ours in mlps.items():
        for name in ("fc1", "fc2"):
            entries += dense((f"{torch}.{theirs}.{name}",), f"{keras}/{ours}/{name}")
    return entries


def _first_convolution(torch: str, keras: str, features: int) -> list[Entry]:
    """Its channels are those of the features, then those of the attention maps."""
    pairs = [(f"{keras}/depthwise_{part}", f"{keras}/{part}_pointwise") for part in PARTS]
    depthwise, pointwise = zip(*pairs, strict=True)
    entries = [
        Entry(
            (f"{torch}.depthwise.weight",),
            tuple(f"{name}/kernel" for name in depthwise),
            split(DEPTHWISE, lambda _: features),
        )
    ]
    for theirs, ours in BATCH_NORM.items():
        paths = tuple(f"{name}_norm/{ours}" for name in depthwise)
        entries.append(
            Entry((f"{torch}.bn_depth.{theirs}",), paths, split(SAME, lambda _: features))
        )
    return [
        *entries,
        Entry((f"{torch}.bn_depth.num_batches_tracked",), (), COUNTER),
        Entry(
            (f"{torch}.pointwise.weight",),
            tuple(f"{name}/kernel" for name in pointwise),
            split(CONV, lambda _: features, axis=1),
        ),
        *batch_norm(f"{torch}.bn_point", f"{keras}/norm1", suffix=""),
    ]


def classes(get: Callable[[str], np.ndarray]) -> int:
    """How many classes a checkpoint tells apart, see `System.classes`."""
    _, count, _ = get("prototypes/table").shape
    return count
