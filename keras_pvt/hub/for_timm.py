"""A folder that timm loads: `timm.create_model("local-dir:FOLDER", pretrained=True)`."""

import pathlib
from typing import Any

from keras_pvt.conversion import save_checkpoint, to_torch
from keras_pvt.conversion.beside import CONFIG, CROP, INTERPOLATION
from keras_pvt.hub.subject import Subject, refuse
from keras_pvt.models.preprocessing import channel_statistics
from keras_pvt.utils.files import write_json

TITLE = "timm"
# What timm's PVTv2 has, and no argument changes.
PATCHES, STRIDES = (7, 3, 3, 3), (4, 2, 2, 2)
# Whose function takes the widths of any other.
ARCHITECTURE = "pvt_v2_b0"


def write(subject: Subject, folder: pathlib.Path) -> None:
    """Write weights and configuration.

    Args:
        subject: a classifier or backbone of PVTv2.
        folder: to write into.
    Raises:
        ValueError: timm has no such model.
    """
    row = subject.config
    if subject.system.names or row.family != "pvt_v2":
        raise refuse(subject, TITLE, "has classifiers and backbones of PVTv2 alone")
    if (row.patch_sizes, row.steps) != (PATCHES, STRIDES):
        raise refuse(subject, TITLE, f"has patches of {PATCHES} with strides {STRIDES} alone")
    named = subject.classes if subject.outputs else None
    save_checkpoint(to_torch(subject.model, "timm"), folder / "model.safetensors", named)
    write_json(folder / CONFIG, _config(subject))


def usage(subject: Subject) -> str:
    """The lines of Python that load the folder, for its model card."""
    return 'import timm\n\nmodel = timm.create_model("hf-hub:OWNER/NAME", pretrained=True).eval()'


def _config(subject: Subject) -> dict[str, Any]:
    row, count = subject.config, subject.outputs or 0
    mean, std = channel_statistics(subject.channels)
    config: dict[str, Any] = {
        "architecture": subject.variant or ARCHITECTURE,
        "num_classes": count,
        "num_features": row.embed_dims[-1],
        "global_pool": "avg",
    }
    arguments: dict[str, Any] = {} if subject.channels == 3 else {"in_chans": subject.channels}
    if subject.variant is None:
        arguments |= {
            "depths": row.depths,
            "embed_dims": row.embed_dims,
            "num_heads": row.num_heads,
            "sr_ratios": row.sr_ratios,
            "mlp_ratios": row.mlp_ratios,
            "linear": row.linear,
        }
    if arguments:
        config["model_args"] = arguments
    if subject.classes is not None and count:
        config["label_names"] = subject.classes
    config["pretrained_cfg"] = {
        "custom_load": False,
        "input_size": [subject.channels, subject.side, subject.side],
        "fixed_input_size": False,
        "interpolation": INTERPOLATION,
        "crop_pct": CROP,
        "crop_mode": "center",
        "mean": mean,
        "std": std,
        "num_classes": count,
        "pool_size": None,
        "first_conv": "patch_embed.proj",
        "classifier": "head",
    }
    return config
