"""What a state dict is: its layout, and the variant that it looks like."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from keras_pvt.conversion.key_map import Entry, key_map
from keras_pvt.variants import VARIANTS, PVTConfig

State = Mapping[str, np.ndarray]

# Share of keys that a file and a variant must have in common for a guess: PVT-Large is
# nearest to another, at 0.7.
LIKENESS = 0.9


def trunk(state: State) -> tuple[dict[str, np.ndarray], list[str]]:
    """The state dict with the names of its own layout, and the keys left out.

    Takes off "module." (DataParallel) and "backbone." (detectors, whose neck and heads are
    left out), and puts the "pvt." that Hugging Face's bare PvtModel lacks.
    """
    found, left = unwrapped(state), []
    if any(key.startswith("backbone.") for key in found):
        left = [key for key in found if not key.startswith("backbone.")]
        found = {
            key.removeprefix("backbone."): array
            for key, array in found.items()
            if key.startswith("backbone.")
        }
    if any(key.startswith("encoder.") for key in found):
        found = {f"pvt.{key}": array for key, array in found.items()}
    return found, left


def unwrapped(state: State) -> dict[str, np.ndarray]:
    """The state dict without the "module." that DataParallel puts before every key."""
    if all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): array for key, array in state.items()}
    return dict(state)


def layout_of(state: State) -> str:
    """The layout that the keys speak; "official" where none is recognised."""
    if any("/" in key for key in state):
        return "keras"
    return "huggingface" if any(key.startswith("pvt.") for key in state) else "official"


def likely_variant(state: State) -> str | None:
    """The variant whose keys and widths the state dict has, or nearly has; else None."""
    layout = layout_of(state)
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
