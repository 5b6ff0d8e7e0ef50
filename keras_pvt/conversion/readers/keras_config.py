"""What the configuration in a `.keras` file says of its model: what no shape of a weight tells.

Nothing is built of it: the file is not trusted, and its weights are read without Keras.
"""

import json
from typing import Any

from keras_pvt import families, systems
from keras_pvt.conversion.description import Description, as_table, unique
from keras_pvt.conversion.readers.mapped import Archive, CheckpointError
from keras_pvt.variants import PVTConfig

CONFIG_MEMBER = "config.json"
METADATA_MEMBER = "metadata.json"
LONGEST_VERSION = 40
# In bytes; PVT-Large's has some hundred thousand.
LARGEST = 1 << 24
PATCHES = {"PatchEmbedding": "pvt", "OverlapPatchEmbedding": "pvt_v2"}


def read_description(archive: Archive) -> Description | None:
    """What a `.keras` file says of its model, as far as answers depend on it and no shape tells it.

    Args:
        archive: the file.
    Returns:
        The record's name, and of its `untold` fields and those of its backbone's family the ones
        that are there; None for a model that is no system of its own, as a whole.
    Raises:
        CheckpointError: a configuration that is damaged or too large.
    """
    if CONFIG_MEMBER not in archive.names:
        return None
    data = archive.read(CONFIG_MEMBER)
    if len(data) > LARGEST:
        raise CheckpointError(f"its {CONFIG_MEMBER} has more than {LARGEST:,} bytes")
    try:
        return _description(json.loads(bytes(data), object_pairs_hook=unique))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"its {CONFIG_MEMBER} is damaged: {error}") from error


def read_version(archive: Archive) -> str | None:
    """The version of Keras that a `.keras` file notes; None: it notes none."""
    if METADATA_MEMBER not in archive.names:
        return None
    try:
        version = as_table(json.loads(bytes(archive.read(METADATA_MEMBER)))).get("keras_version")
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"its {METADATA_MEMBER} is damaged: {error}") from error
    return version[:LONGEST_VERSION] if isinstance(version, str) else None


def _description(model: Any) -> Description | None:
    config = as_table(as_table(model).get("config"))
    registered = str(as_table(model).get("registered_name")).removeprefix("keras_pvt>")
    for system in systems.SYSTEMS.values():
        if registered == _class_name(system):
            backbone = as_table(as_table(config.get("backbone")).get("config")) or config
            row = as_table(backbone.get("variant"))
            return _of(system, row, row.get("family", PVTConfig.family), config)
    stages = _stages(config.get("layers"))
    if len(stages) != 4:
        return None
    return _of(systems.SYSTEMS["classifier"], *_row(stages), {})


def _of(system: systems.System, row: dict, family: Any, options: dict) -> Description | None:
    """The fields that are there of those that shapes do not tell."""
    if not isinstance(family, str) or family not in families.FAMILIES:
        return None
    named = families.named(family).untold
    return Description(
        system.name,
        backbone={"variant": {name: row[name] for name in named if name in row}},
        options={name: options[name] for name in system.untold if name in options},
    )


def _class_name(system: systems.System) -> str:
    model = system.model
    return model.rsplit(":", 1)[-1] if isinstance(model, str) else getattr(model, "__name__", "")


def _stages(layers: Any) -> list[tuple[str, dict, dict]]:
    """Of each stage in a functional model the class and the configuration of its patch embedding,
    and the configuration of its first block."""
    named = {}
    for layer in layers if isinstance(layers, list) else ():
        if isinstance(layer, dict):
            named[str(layer.get("name"))] = (
                str(layer.get("class_name")),
                as_table(layer.get("config")),
            )
    pairs = [(f"stage{n}_patch_embedding", f"stage{n}_block0") for n in range(1, 5)]
    return [
        (*named[patch], named[block][1])
        for patch, block in pairs
        if block in named and patch in named and named[patch][0] in PATCHES
    ]


def _row(stages: list[tuple[str, dict, dict]]) -> tuple[dict, str]:
    """Fields of the row, as far as files of any version have them, and the family."""
    (kind, _, first), *_ = stages
    row = {name: first[name] for name in ("epsilon", "reduction_epsilon") if name in first}
    row["num_heads"] = [block.get("num_heads") for _, _, block in stages]
    row["patch_strides"] = [patch.get("stride") for _, patch, _ in stages]
    return row, PATCHES[kind]
