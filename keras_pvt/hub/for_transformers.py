"""A folder that transformers loads: `AutoModelForImageClassification.from_pretrained(folder)`."""

import pathlib
from typing import Any

from keras_pvt.conversion import save_checkpoint, to_torch
from keras_pvt.conversion.beside import CONFIG, PREPROCESSOR
from keras_pvt.hub.subject import Subject, refuse
from keras_pvt.models.preprocessing import channel_statistics
from keras_pvt.utils.files import write_json

TITLE = "transformers"
BICUBIC = 3  # Pillow's number
# Of PVT; the images of later stages are counted by them in transformers, whatever it is told.
PATCHES = (4, 2, 2, 2)


def write(subject: Subject, folder: pathlib.Path) -> None:
    """Write weights, configuration and preprocessing.

    Args:
        subject: a classifier of either family, or a backbone of PVTv2.
        folder: to write into.
    Raises:
        ValueError: transformers has no such model.
    """
    if subject.system.names:
        raise refuse(subject, TITLE, "has no such model on PVT that is read from one folder")
    whole, v2 = subject.outputs is not None, subject.config.family == "pvt_v2"
    if not v2 and not whole:
        raise refuse(subject, TITLE, "has none without a head that loads such weights")
    if not v2 and subject.config.patch_sizes != PATCHES:
        raise refuse(subject, TITLE, f"has patches of {PATCHES} alone")
    state = to_torch(subject.model, "huggingface")
    save_checkpoint(state, folder / "model.safetensors", subject.classes if whole else None)
    write_json(folder / CONFIG, _config(subject, v2))
    write_json(folder / PREPROCESSOR, _preprocessor(subject))


def usage(subject: Subject) -> str:
    """The lines of Python that load the folder, for its model card."""
    kind = "AutoModelForImageClassification" if subject.outputs else "AutoModel"
    return (
        f"from transformers import AutoImageProcessor, {kind}\n\n"
        'processor = AutoImageProcessor.from_pretrained("OWNER/NAME")\n'
        f'model = {kind}.from_pretrained("OWNER/NAME")'
    )


def _config(subject: Subject, v2: bool) -> dict[str, Any]:
    row, rates, count = subject.config, subject.rates, subject.outputs
    bare = "PvtV2Model" if v2 else "PvtModel"
    config: dict[str, Any] = {
        "architectures": [f"{bare.removesuffix('Model')}ForImageClassification" if count else bare],
        "model_type": row.family,
        "image_size": row.image_size,
        "num_channels": subject.channels,
        "num_encoder_blocks": len(row.depths),
        "depths": row.depths,
        "hidden_sizes": row.embed_dims,
        "patch_sizes": row.patch_sizes,
        "strides": row.steps,
        "num_attention_heads": row.num_heads,
        "mlp_ratios": row.mlp_ratios,
        "sr_ratios" if v2 else "sequence_reduction_ratios": row.sr_ratios,
        "hidden_act": "gelu",
        "layer_norm_eps": row.epsilon,
        "qkv_bias": True,
        "hidden_dropout_prob": rates.drop,
        "attention_probs_dropout_prob": rates.attention_drop,
        "drop_path_rate": rates.drop_path,
        "dtype": "float32",
    }
    if v2:
        config["linear_attention"] = row.linear
    if count:
        # Without names its pipeline fails on a PVT; these are what it calls classes itself.
        names = subject.classes or [f"LABEL_{n}" for n in range(count)]
        config["num_labels"] = count
        config["id2label"] = {str(n): name for n, name in enumerate(names)}
        config["label2id"] = {name: n for n, name in enumerate(names)}
    return config


def _preprocessor(subject: Subject) -> dict[str, Any]:
    """What `eval_transform` and `preprocess_input` do."""
    mean, std = channel_statistics(subject.channels)
    side = subject.side
    return {
        "image_processor_type": "PvtImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": subject.short_side},
        "resample": BICUBIC,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
    }
