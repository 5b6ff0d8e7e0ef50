"""What training programs keep beside the weights: who they are, and the names of the classes."""

from collections.abc import Iterator, Mapping
from typing import Any

from keras_pvt.conversion.description import as_table, is_names

# In mmengine's "meta", each library of OpenMMLab by the version that it notes; the last that is
# there is the one that wrote the file, as the others are below it.
MM = {
    "mmcv_version": "mmcv",
    "mmengine_version": "mmengine",
    "mmdet_version": "mmdetection",
    "mmseg_version": "mmsegmentation",
}
# Keys of names, in their order: mmdetection 3.x, older ones, and what people write themselves.
NAMES = ("classes", "CLASSES", "class_names")
LONGEST_VERSION = 40


def written_by(content: Mapping[Any, Any]) -> str | None:
    """The program that wrote a checkpoint, with its version where that is said.

    Args:
        content: of the file, plain containers.
    """
    version = content.get("pytorch-lightning_version")
    if isinstance(version, str):
        return f"PyTorch Lightning {version[:LONGEST_VERSION]}"
    meta = as_table(content.get("meta"))
    found = [(title, meta[key]) for key, title in MM.items() if isinstance(meta.get(key), str)]
    if found:
        title, version = found[-1]
        return f"{title} {version[:LONGEST_VERSION]}"
    if {"arch", "epoch", "state_dict"} <= content.keys():
        return "timm"
    if {"args", "epoch", "lr_scheduler", "model"} <= content.keys():
        return "whai362/PVT, or another trainer that came from DeiT's"
    return None


def class_names(content: Mapping[Any, Any]) -> tuple[str, ...] | None:
    """The names of classes in a checkpoint, in the order of the outputs; None: it has none.

    Args:
        content: see `written_by`.
    """
    for table in _tables(content):
        for name in NAMES:
            value: Any = table.get(name)
            if is_names(value):
                return tuple(value)
        numbers = as_table(table.get("class_to_idx"))
        if all(type(number) is int for number in numbers.values()):
            names = sorted(numbers, key=numbers.__getitem__)
            if is_names(names) and sorted(numbers.values()) == list(range(len(names))):
                return tuple(names)
    return None


def _tables(content: Mapping[Any, Any]) -> Iterator[dict]:
    """The tables that may have the names, the likeliest first."""
    meta = as_table(content.get("meta"))
    yield as_table(meta.get("dataset_meta"))
    yield meta
    yield dict(content)
    yield as_table(content.get("hyper_parameters"))
