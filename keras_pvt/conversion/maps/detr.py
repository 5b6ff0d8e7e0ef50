"""Which checkpoint key of DETR belongs to which Keras variable, in three libraries' names."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from keras_pvt.conversion.layouts import DENSE, SAME, cut
from keras_pvt.conversion.maps.entries import Entry, conv, dense, norm, pyramid_map
from keras_pvt.variants import PVTConfig


class Names(NamedTuple):
    """The words of one library. `{n}` is a layer from 0; what follows `decoder` stands after it.

    Args:
        fused: of queries, keys and values in one; empty where they are three, `separate`.
        encoder_norms: after attention and feed-forward.
        decoder_norms: after self-attention, cross-attention and feed-forward.
    """

    backbone: str
    input: str
    queries: str
    logits: str
    boxes: tuple[str, str, str]
    decoder_norm: str
    encoder: str
    decoder: str
    self_attention: str
    cross_attention: str
    fused: str
    separate: tuple[str, ...]
    proj: str
    fc1: str
    fc2: str
    encoder_norms: tuple[str, str]
    decoder_norms: tuple[str, str, str]


DETR_NAMES = {
    "official": Names(
        backbone="backbone.",
        input="bbox_head.input_proj",
        queries="bbox_head.query_embedding",
        logits="bbox_head.fc_cls",
        boxes=("bbox_head.reg_ffn.layers.0.0", "bbox_head.reg_ffn.layers.1", "bbox_head.fc_reg"),
        decoder_norm="bbox_head.transformer.decoder.post_norm",
        encoder="bbox_head.transformer.encoder.layers.{n}.",
        decoder="bbox_head.transformer.decoder.layers.{n}.",
        self_attention="attentions.0.attn.",
        cross_attention="attentions.1.attn.",
        fused="in_proj_",
        separate=(),
        proj="out_proj",
        fc1="ffns.0.layers.0.0",
        fc2="ffns.0.layers.1",
        encoder_norms=("norms.0", "norms.1"),
        decoder_norms=("norms.0", "norms.1", "norms.2"),
    ),
    "facebook": Names(
        backbone="backbone.0.body.",
        input="input_proj",
        queries="query_embed",
        logits="class_embed",
        boxes=("bbox_embed.layers.0", "bbox_embed.layers.1", "bbox_embed.layers.2"),
        decoder_norm="transformer.decoder.norm",
        encoder="transformer.encoder.layers.{n}.",
        decoder="transformer.decoder.layers.{n}.",
        self_attention="self_attn.",
        cross_attention="multihead_attn.",
        fused="in_proj_",
        separate=(),
        proj="out_proj",
        fc1="linear1",
        fc2="linear2",
        encoder_norms=("norm1", "norm2"),
        decoder_norms=("norm1", "norm2", "norm3"),
    ),
    "huggingface": Names(
        backbone="model.backbone.model.",
        input="model.input_projection",
        queries="model.query_position_embeddings",
        logits="class_labels_classifier",
        boxes=("bbox_predictor.layers.0", "bbox_predictor.layers.1", "bbox_predictor.layers.2"),
        decoder_norm="model.decoder.layernorm",
        encoder="model.encoder.layers.{n}.",
        decoder="model.decoder.layers.{n}.",
        self_attention="self_attn.",
        cross_attention="encoder_attn.",
        fused="",
        separate=("q_proj", "k_proj", "v_proj"),
        proj="o_proj",
        fc1="mlp.fc1",
        fc2="mlp.fc2",
        encoder_norms=("self_attn_layer_norm", "final_layer_norm"),
        decoder_norms=("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"),
    ),
}

# Patterns of older words, and newer ones: mmdetection 2.8, and files of transformers, which renames
# them when it loads.
_OLDER = (
    (r"^(bbox_head\.transformer\..*)\.self_attn\.", r"\1.attentions.0."),
    (r"^(bbox_head\.transformer\..*)\.multihead_attn\.", r"\1.attentions.1."),
    (r"^(bbox_head\.transformer\..*)\.ffn\.", r"\1.ffns.0."),
    (r"^(bbox_head\.transformer\.decoder)\.norm\.", r"\1.post_norm."),
    (r"^(model\.(?:en|de)coder\.layers\..*_attn)\.out_proj\.", r"\1.o_proj."),
    (r"^(model\.(?:en|de)coder\.layers\.\d+)\.(fc\d)\.", r"\1.mlp.\2."),
    (r"^model\.backbone\.conv_encoder\.model\.", "model.backbone.model."),
)
_RENAMED = ("bbox_head.transformer.", "model.")  # how all of them begin


def official_map(config: PVTConfig, model) -> list[Entry]:
    """`detr_map` in the words of mmdetection."""
    return detr_map(config, model, "official")


def facebook_map(config: PVTConfig, model) -> list[Entry]:
    """`detr_map` in the words of facebookresearch/detr."""
    return detr_map(config, model, "facebook")


def huggingface_map(config: PVTConfig, model) -> list[Entry]:
    """`detr_map` in the words of transformers."""
    return detr_map(config, model, "huggingface")


def detr_map(config: PVTConfig, model, layout: str) -> list[Entry]:
    """Every weight of a `DETR` on PVT, in the order of mmdetection 2.13's state dict.

    Args:
        config: of the backbone.
        model: whose `depth` is asked.
        layout: "official" (mmdetection 2.13), "facebook" (facebookresearch/detr) or
            "huggingface" (transformers 5). The latter two have no PVT: its keys are the
            official ones, after what they put before a backbone's.
    """
    names = DETR_NAMES[layout]
    entries = pyramid_map(names.backbone, config)
    for n in range(model.depth):
        theirs, ours = names.encoder.format(n=n), f"encoder{n}"
        entries += _attention(names, theirs + names.self_attention, f"{ours}/self_attention")
        entries += _rest(names, theirs, ours, names.encoder_norms)
    for n in range(model.depth):
        theirs, ours = names.decoder.format(n=n), f"decoder{n}"
        entries += _attention(names, theirs + names.self_attention, f"{ours}/self_attention")
        entries += _attention(names, theirs + names.cross_attention, f"{ours}/cross_attention")
        entries += _rest(names, theirs, ours, names.decoder_norms)
    entries += norm(names.decoder_norm, "decoder_norm")
    entries += conv(names.input, "input_projection")
    entries += dense((names.logits,), "class_logits")
    for theirs, ours in zip(names.boxes, ("box_fc1", "box_fc2", "box_logits"), strict=True):
        entries += dense((theirs,), ours)
    return [*entries, Entry((f"{names.queries}.weight",), ("queries/table",), SAME)]


def newer(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A state dict with today's names, where an older version of its library wrote it."""
    found = {}
    for key, array in state.items():
        if key.startswith(_RENAMED):
            for pattern, words in _OLDER:
                key = re.sub(pattern, words, key)
        found[key] = array
    return found


def _attention(names: Names, torch: str, keras: str) -> list[Entry]:
    parts = [f"{keras}/{name}" for name in ("query", "key", "value")]
    entries = []
    if names.fused:
        for theirs, ours, layout in (("weight", "kernel", DENSE), ("bias", "bias", SAME)):
            paths = tuple(f"{part}/{ours}" for part in parts)
            entries.append(Entry((f"{torch}{names.fused}{theirs}",), paths, cut(layout, 3)))
    for theirs, ours in zip(names.separate, parts, strict=False):
        entries += dense((f"{torch}{theirs}",), ours)
    return entries + dense((f"{torch}{names.proj}",), f"{keras}/proj")


def _rest(names: Names, torch: str, keras: str, norms: tuple[str, ...]) -> list[Entry]:
    entries = dense((f"{torch}{names.fc1}",), f"{keras}/fc1")
    entries += dense((f"{torch}{names.fc2}",), f"{keras}/fc2")
    for n, theirs in enumerate(norms, start=1):
        entries += norm(f"{torch}{theirs}", f"{keras}/norm{n}")
    return entries


def classes(get: Callable[[str], np.ndarray]) -> int:
    """How many classes a checkpoint tells apart, see `System.classes`."""
    return len(get("class_logits/bias")) - 1
