"""What other libraries write beside a file of weights: names of classes, and how images were
prepared.

Read are transformers' `config.json` and `preprocessor_config.json`, timm's `config.json`, and the
file of `keras_pvt.hub.save`. They are words of strangers: small, checked, and no more than words.
"""

import dataclasses
import importlib.resources
import json
import logging
import math
import pathlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from keras_pvt.conversion.description import Description, is_names, unique
from keras_pvt.variants import IMAGENET_MEAN, IMAGENET_STD, Weights

logger = logging.getLogger("keras_pvt")

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
# Of `keras_pvt.hub.save`; it says that a folder is of this package.
OWN = "keras_pvt_hub.json"
# What may stand beside weights: these, and what Keras and this package keep in a .keras file.
FILES = (CONFIG, PREPROCESSOR, OWN, "metadata.json", "keras_pvt.json")
LARGEST = 1 << 22  # bytes; 10,000 long names have less

# The crop of `keras_pvt.eval_transform`: share of the shorter side.
CROP = Weights.image_size / Weights.resize_size
INTERPOLATION = "bicubic"
# Pillow's numbers, which transformers keeps.
RESAMPLINGS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
NEAR = 1e-3  # of means, deviations and shares, which files round


@dataclasses.dataclass(frozen=True)
class Beside:
    """What is known of weights from the files beside them.

    Args:
        classes: names of what the model tells apart, in the order of its outputs, or None.
        description: how the model is built, from `keras_pvt.hub.save`, or None.
        differences: how images were prepared otherwise than this package does, a few words each.
    """

    classes: tuple[str, ...] | None = None
    description: Description | None = None
    differences: tuple[str, ...] = ()


def read_beside(path: pathlib.Path) -> Beside:
    """What is said beside a file of weights; of a PVT only, and nothing where nothing is said.

    A file that is damaged is left alone, with a warning of logger "keras_pvt".

    Args:
        path: of the weights.
    Returns:
        What was found.
    """
    own, config = _table(path.with_name(OWN)), _table(path.with_name(CONFIG))
    description = None
    if isinstance(own.get("description"), str):
        try:
            description = Description.from_text(own["description"])
        except ValueError as error:
            logger.warning("%s: its description is not used: %s", path.with_name(OWN), error)
    try:
        if str(config.get("model_type")) in ("pvt", "pvt_v2"):
            processor = _table(path.with_name(PREPROCESSOR))
            return Beside(_of_transformers(config), description, _processed(processor))
        if str(config.get("architecture")).startswith("pvt_v2"):
            return Beside(_of_timm(config), description, _configured(_pretrained(config)))
    except (TypeError, ValueError) as error:
        logger.warning("%s is not used: %s", path.with_name(CONFIG), error)
    return Beside(None, description)


def different_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of classes, those that several classes have with the number of the class.

    Args:
        names: in the order of the outputs; ImageNet has two cranes.
    """
    counts = Counter(names)
    return tuple(f"{name} ({n})" if counts[name] > 1 else name for n, name in enumerate(names))


def _table(path: pathlib.Path) -> dict[str, Any]:
    """A file of JSON that holds a table; empty where there is none."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError:
        return {}
    try:
        if len(text) > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        table = json.loads(text, object_pairs_hook=unique)
        if not isinstance(table, dict):
            raise ValueError(f"it is a {type(table).__name__}, not a table")
    except (ValueError, RecursionError) as error:
        logger.warning("%s is not used: %s", path, error)
        return {}
    return table


def _of_transformers(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    labels = config.get("id2label")
    if labels is None:
        return None
    if not isinstance(labels, dict) or set(labels) != {str(n) for n in range(len(labels))}:
        raise ValueError("its id2label does not number classes from 0")
    names = [labels[str(n)] for n in range(len(labels))]
    if all(isinstance(name, str) and re.fullmatch(r"LABEL_\d+", name) for name in names):
        return None  # what transformers writes where nobody named them
    return _checked(names, "id2label")


def _of_timm(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    pretrained = _pretrained(config)
    names = config.get("label_names", pretrained.get("label_names", config.get("labels")))
    if names is not None:
        return _checked(names, "label_names")
    count = config.get("num_classes", pretrained.get("num_classes"))
    table = importlib.resources.files("keras_pvt") / "data" / "imagenet_classes.json"
    imagenet = [name for _, name in json.loads(table.read_text("utf-8"))]
    # As timm's own inference takes it.
    return different_names(imagenet) if count == len(imagenet) else None


def _checked(names: Any, what: str) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"its {what} are no list of names")
    different = different_names(names)
    if not is_names(different):
        raise ValueError(f"its {what} are no names: empty, or too long")
    return different


def _pretrained(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """timm's facts of the weights, which lie in the configuration itself in old files."""
    pretrained = config.get("pretrained_cfg", config)
    if not isinstance(pretrained, dict):
        raise ValueError("its pretrained_cfg is no table")
    return pretrained


def _processed(processor: Mapping[str, Any]) -> tuple[str, ...]:
    """How transformers' preprocessing differs."""
    if not processor:
        return ()
    found = []
    if processor.get("do_normalize", True) is False:
        found.append("it does not normalise")
    else:
        found += _statistics(processor.get("image_mean"), processor.get("image_std"))
    if processor.get("do_rescale", True) is False:
        found.append("it does not scale 0..255 to 0..1")
    elif not _near(processor.get("rescale_factor", 1 / 255), 1 / 255, 1e-6):
        found.append(f"it scales by {_short(processor.get('rescale_factor'))}, not 1/255")
    if processor.get("do_resize", True) is False:
        return tuple(found)
    found += _interpolation(RESAMPLINGS.get(processor.get("resample", 3), "unknown"))
    size, crop = processor.get("size"), processor.get("crop_size")
    if processor.get("do_center_crop") and isinstance(size, dict) and isinstance(crop, dict):
        side, short = crop.get("height", 0), size.get("shortest_edge", 0)
        if not (_is_number(side) and _is_number(short) and short > 0):
            found += _share(None)
        elif abs(short - side / CROP) >= 1:  # a side is of whole pixels
            found += _share(side / short)
    elif isinstance(size, dict) and "height" in size:
        found.append(
            f"it scales the whole image to {_short(size['height'])}x{_short(size.get('width'))}, "
            f"and here {CROP:g} of the shorter side are cut out"
        )
    return tuple(found)


def _configured(pretrained: Mapping[str, Any]) -> tuple[str, ...]:
    """How timm's preprocessing differs."""
    found = _statistics(pretrained.get("mean"), pretrained.get("std"))
    if "interpolation" in pretrained:
        found += _interpolation(pretrained["interpolation"])
    if "crop_pct" in pretrained:
        found += _share(pretrained["crop_pct"])
    mode = pretrained.get("crop_mode", "center")
    return (*found, *([] if mode == "center" else [f"its crop is {_short(mode)}, not center"]))


def _statistics(mean: Any, std: Any) -> list[str]:
    found = []
    for name, value, own in (("mean", mean, IMAGENET_MEAN), ("std", std, IMAGENET_STD)):
        same = isinstance(value, list) and len(value) == len(own)
        if value is not None and not (same and all(map(_near, value, own))):
            found.append(f"{name} {_short(value)}, not {_short(list(own))}")
    return found


def _interpolation(name: Any) -> list[str]:
    return [] if name == INTERPOLATION else [f"{_short(name)} resizing, not {INTERPOLATION}"]


def _share(share: Any) -> list[str]:
    if _near(share, CROP):
        return []
    return [f"a crop of {_short(share)} of the shorter side, not {CROP:g}"]


def _near(value: Any, own: float, by: float = NEAR) -> bool:
    return _is_number(value) and abs(value - own) <= by


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: Any) -> str:
    """A word of a stranger, on a line of ours."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split())[:60]
