"""What a state dict is: its layout, and the variant that it looks like."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from keras_pvt import systems
from keras_pvt.conversion.detr_map import layout_of_detr, newer
from keras_pvt.conversion.key_map import LAYOUTS, Entry, as_stored, key_map
from keras_pvt.variants import VARIANTS, PVTConfig

State = Mapping[str, np.ndarray]

# Share of keys that a file and a variant must have in common for a guess: PVT-Large is
# nearest to another, at 0.7.
LIKENESS = 0.9


class Found(NamedTuple):
    """What a state dict is.

    Args:
        state: with the names of its own layout: all of a segmenter or detector, else its `trunk`.
        system: name of the segmenter or detector, or None.
        variant: name of the backbone's row, or None if it is like none.
    """

    state: State
    system: str | None
    variant: str | None


def recognised(state: State) -> Found:
    """What a state dict is."""
    body, _ = trunk(state)
    system = system_of_state(state)
    return Found(unwrapped(state) if system else body, system, likely_variant(body))


def system_of_state(state: State) -> str | None:
    """Name of the segmenter or detector, whose weights these are; else None."""
    state = unwrapped(state)
    layout = layout_of(state)
    for name, system in systems.SYSTEMS.items():
        if not system.names:
            continue
        entries = system.key_map(layout, PVTConfig(depths=(1, 1, 1, 1)))
        entries = as_stored(entries) if layout == "keras" else entries
        if keras_array(entries, state, system.mark) is not None:
            return name
    return None


def trunk(state: State) -> tuple[dict[str, np.ndarray], list[str]]:
    """The state dict with the names of its own layout, and the keys left out.

    Takes off "module." (DataParallel) and what stands before a backbone ("backbone." in
    detectors, whose necks and heads are left out, as those of segmenters), and puts the "pvt."
    that Hugging Face's bare PvtModel lacks.
    """
    found, left = unwrapped(state), []
    system, layout = system_of_state(found), layout_of(found)
    if system is not None and layout == "keras":
        names = {key: key for key in found if key.startswith("stage")}
    else:
        prefix = "backbone." if system is None else systems.SYSTEMS[system].names_in(layout).prefix
        names = {key: key.removeprefix(prefix) for key in found if key.startswith(prefix)}
    if names:
        left = [key for key in found if key not in names]
        found = {name: found[key] for key, name in names.items()}
    if any(key.startswith("encoder.") for key in found):
        found = {f"pvt.{key}": array for key, array in found.items()}
    return found, left


def unwrapped(state: State) -> dict[str, np.ndarray]:
    """The state dict without the "module." that DataParallel puts before every key, and with
    the newer of the names that a library has had for a weight."""
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): array for key, array in state.items()}
    return newer(state)


def layout_of(state: State) -> str:
    """The layout that the keys speak; "official" where none is recognised."""
    if any("/" in key for key in state):
        return "keras"
    detr = layout_of_detr(state)
    if detr is not None:
        return detr
    return "huggingface" if any(key.startswith("pvt.") for key in state) else "official"


def likely_variant(state: State) -> str | None:
    """The variant whose keys and widths the state dict has, or nearly has; else None."""
    layout = layout_of(state)
    if layout not in LAYOUTS:  # of a detector
        return None
    best, name = LIKENESS, None
    for variant, config in VARIANTS.items():
        entries = key_map(config, layout)
        keys = {key for entry in entries for key in entry.torch}
        likeness = len(keys & state.keys()) / len(keys | state.keys())
        if likeness > best and _widths(entries, state) == config.embed_dims:
            best, name = likeness, variant
    return name


def config_of_state(state: State, variant: str) -> PVTConfig:
    """The row of a variant, with the resolution and the classes of the state dict."""
    config = VARIANTS[variant]
    entries = key_map(config, layout_of(state))
    table = keras_array(entries, state, "stage1_position/table")
    bias = keras_array(entries, state, "head/bias")
    if table is not None:
        config = dataclasses.replace(config, image_size=table.shape[1] * config.patch_sizes[0])
    if bias is not None and bias.ndim:
        config = dataclasses.replace(config, classes=bias.shape[0])
    return config


def _widths(entries: list[Entry], state: State) -> tuple[int, ...]:
    norms = (keras_array(entries, state, f"stage{n}_block0/norm1/gamma") for n in (1, 2, 3, 4))
    return tuple(-1 if norm is None else norm.size for norm in norms)


def keras_array(entries: list[Entry], state: State, path: str) -> np.ndarray | None:
    """The Keras array at a path, where the state dict has it in a possible shape."""
    (entry,) = (entry for entry in entries if path in entry.keras)
    try:
        return entry.layout.to_keras(*(state[key] for key in entry.torch))[entry.keras.index(path)]
    except (KeyError, ValueError):
        return None
