"""What a state dict is: its layout, and the variant that it looks like."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_pvt import families, systems
from keras_pvt.conversion.description import Description, described, named_by
from keras_pvt.conversion.maps.entries import Entry, as_stored, classifier_map
from keras_pvt.conversion.prefixes import candidates, said_of
from keras_pvt.variants import LOOK_ALIKES, VARIANTS, LookAlike, PVTConfig

State = Mapping[str, np.ndarray]

# Share of keys that a file and a variant must have in common for a guess: PVT-Large is
# nearest to another, at 0.7.
LIKENESS = 0.9


# Whose map tells what stands beside the blocks.
_SHALLOW = PVTConfig(depths=(1, 1, 1, 1))


class Found(NamedTuple):
    """What a state dict is.

    Args:
        state: with the names of its own layout: all of a segmenter or detector, else its `trunk`.
        system: name of the segmenter or detector, or None.
        variant: name of the backbone's row, or None if it is like none.
        description: what the file says of the model, or None.
        look_alike: the network of others that it seems to be, or None. There is no variant then.
        classes: names of what the model tells apart, or None.
        prefix: that wrappers have put before the keys, which have it no more.
        left: keys of the file that are not in the state dict.
    """

    state: State
    system: str | None
    variant: str | None
    description: Description | None = None
    look_alike: LookAlike | None = None
    classes: tuple[str, ...] | None = None
    prefix: str = ""
    left: Sequence[str] = ()

    @property
    def known(self) -> bool:
        """Whether the row of the backbone is known, by its name or from the description."""
        return self.variant is not None or _whole_row(self.description) is not None

    @property
    def unknown(self) -> str:
        """What there is to say where the row is not known."""
        if self.look_alike is None:
            return "; ".join(
                filter(None, ["no variant has these keys and widths", stuck(self.state)])
            )
        other = self.look_alike
        return f"this is {other.title}, which has the keys of {other.variant} and other weights"


def recognised(state: State) -> Found:
    """Tell from a state dict which system, and which variant of the backbone, it is of.

    Args:
        state: arrays by name, in any layout that keras_pvt knows.
    Returns:
        The state dict with the names of its layout, the system's name or None, the variant's
        name or None, and the description that came with it; for `model_from_checkpoint`. Of a
        network of others that has the keys of a family, which that is.
    """
    unwrapped = unwrap(state)
    body, left = trunk_of(unwrapped)
    system, description = _system(unwrapped.state), described(state)
    other = look_alike(body) if description is None else None
    variant = likely_variant(body) if other is None else None
    if variant is not None and description is not None and not _is_of(description, variant):
        variant = None
    return Found(
        unwrapped.state if system else body,
        system,
        variant,
        description,
        other,
        named_by(state),
        unwrapped.prefix,
        unwrapped.left if system else left,
    )


def _is_of(description: Description, variant: str) -> bool:
    """Whether a whole row in a description is not against the row of a variant."""
    config, row = _whole_row(description), VARIANTS[variant]
    if config is None:
        return True
    names = families.named(row.family).untold
    own = json.loads(json.dumps(dataclasses.asdict(row)))
    return all(config.get(name, own[name]) == own[name] for name in names)


def _whole_row(description: Description | None) -> dict | None:
    """The row of the backbone, where a description has all of it."""
    row = {} if description is None else description.backbone.get("variant")
    return row if isinstance(row, dict) and "depths" in row else None


def system_of_state(state: State) -> str | None:
    """Name of the segmenter or detector whose weights these are; else None."""
    return _system(unwrap(state).state)


def _system(state: State) -> str | None:
    """The same, of keys without a prefix."""
    layout = layout_of(state)
    for name, system in systems.SYSTEMS.items():
        if not system.names:
            continue
        entries = system.key_map(layout, _SHALLOW)
        entries = as_stored(entries) if layout == "keras" else entries
        if keras_array(entries, state, system.mark) is not None:
            return name
    return None


class Unwrapped(NamedTuple):
    """A state dict without what wrappers put before its keys.

    Args:
        state: with the newer of the names that a library has had for a weight.
        prefix: that was taken off; empty: none.
        left: keys that do not have it, as of a loss or a metric beside the model.
    """

    state: dict[str, np.ndarray]
    prefix: str
    left: list[str]


def unwrap(state: State, whole: bool = False) -> Unwrapped:
    """Take off the prefix of a wrapper, where what remains are names that are known.

    Args:
        state: arrays by name.
        whole: whether they have to be those of a segmenter or detector.
    """
    fits = _system if whole else _speaks
    buffers = swapped(state)
    state = {key: array for key, array in state.items() if key not in buffers}
    own = _newer(state)
    prefixes = candidates(own)
    if prefixes and not fits(own):
        for prefix in prefixes:
            inner = {
                key.removeprefix(prefix): array
                for key, array in state.items()
                if key.startswith(prefix)
            }
            within = swapped(inner)
            inner = _newer({key: inner[key] for key in inner if key not in within})
            if fits(inner):
                left = [key for key in state if not key.startswith(prefix)]
                left += [f"{prefix}{key}" for key in within]
                return Unwrapped(inner, prefix, left + buffers)
    return Unwrapped(own, "", buffers)


def swapped(state: State) -> list[str]:
    """The buffers of mmcv's EMAHook: each has the name of another key, its dots as underscores.

    The averaged weights themselves are under the model's own names when it saves.
    """
    buffers = {f"ema_{key.replace('.', '_')}" for key in state}
    return [key for key in state if key in buffers]


def stuck(state: State) -> str:
    """What there is to say of a prefix that was not taken off; empty where there is none."""
    return "" if _speaks(state) else said_of(state)


def _speaks(state: State) -> bool:
    """Whether keys are those of a system or a backbone, of whatever widths and depths."""
    if _system(state) is not None:
        return True
    state = _dressed(state)
    layout = layout_of(state)
    for family in families.FAMILIES.values():
        row = next((row for row in VARIANTS.values() if row.family == family.name), None)
        if row is None or layout not in family.layouts:
            continue
        entries = classifier_map(dataclasses.replace(row, **family.outline), layout)
        known = {key for entry in entries for key in entry.torch}
        width = family.width.format(n=1)
        there = any(width in entry.keras and entry.torch[0] in state for entry in entries)
        if there and len(known & state.keys()) >= LIKENESS * len(state):
            return True
    return False


def trunk(state: State) -> tuple[dict[str, np.ndarray], list[str]]:
    """The state dict of the backbone or classifier with the names of its own layout, and the keys
    left out.

    Takes off what wrappers put before the keys, and what stands before a backbone ("backbone." in
    detectors, whose necks and heads are left out, as those of segmenters), and puts what a
    bare model of a library lacks ("pvt." of Hugging Face's PvtModel).
    """
    return trunk_of(unwrap(state))


def trunk_of(unwrapped: Unwrapped) -> tuple[dict[str, np.ndarray], list[str]]:
    """The same, of what `unwrap` gives."""
    found, prefix, left = unwrapped
    system, layout = _system(found), layout_of(found)
    if system is None:
        return _dressed(found), left
    if layout == "keras":
        names = {key: key for key in found if key.startswith("stage")}
    else:
        start = _prefix(systems.SYSTEMS[system], layout)
        names = {key: key.removeprefix(start) for key in found if key.startswith(start)}
    if names:
        left = left + [f"{prefix}{key}" for key in found if key not in names]
        found = {name: found[key] for key, name in names.items()}
    return _dressed(found), left


def _dressed(state: State) -> dict[str, np.ndarray]:
    """The state dict with what a bare model of a library lacks before its keys."""
    found = dict(state)
    for family in families.FAMILIES.values():
        for start, prefix in family.bare.items():
            if _some_start(found, start):
                found = {f"{prefix}{key}": array for key, array in found.items()}
    return found


def _prefix(system: systems.System, layout: str) -> str:
    """What stands before the keys of the backbone in a layout of a system."""
    entries = system.key_map(layout, _SHALLOW)
    # A layout of a system may share its name with one of the family, and not the names in it.
    layouts = [
        own for own in (layout, "official") if own in families.named(_SHALLOW.family).layouts
    ]
    for own in layouts:
        alone = {entry.keras: entry.torch[0] for entry in classifier_map(_SHALLOW, own)}
        first = next(entry for entry in entries if entry.keras in alone)
        if first.torch[0].endswith(alone[first.keras]):
            break
    return first.torch[0].removesuffix(alone[first.keras])


def _newer(state: State) -> dict[str, np.ndarray]:
    """The state dict with the newer of the names that a library has had for a weight."""
    found = dict(state)
    for system in systems.SYSTEMS.values():
        if system.newer is not None:
            found = system.load("newer")(found)
    return found


def layout_of(state: State) -> str:
    """The layout that the keys speak; "official" where none is recognised.

    Families may share how keys begin, where they share the name of the layout. Which of them a
    state dict is of, `likely_variant` tells by all of its keys.
    """
    for system in systems.SYSTEMS.values():
        for layout, names in system.names.items():
            if names.start and _some_start(state, names.start):
                return layout
    for family in families.FAMILIES.values():
        for layout, start in family.layouts.items():
            if start and _some_start(state, start):
                return layout
    return "keras" if any("/" in key for key in state) else "official"


def likely_variant(state: State) -> str | None:
    """The variant whose keys and shapes the state dict has, or nearly has; else None."""
    return _likely(state, VARIANTS)


def look_alike(state: State) -> LookAlike | None:
    """The network of others whose shapes a `trunk` has; None for what may be a family's."""
    other = _other(state)
    return None if other is None or other.config == VARIANTS[other.variant] else other


def twin(state: State) -> LookAlike | None:
    """The network of others that a `trunk` may be as well as a variant, by its keys' order."""
    other, keys = _other(state), list(state)
    if other is None or other.config != VARIANTS[other.variant]:
        return None
    first, second = (keys.index(key) if key in state else -1 for key in other.order)
    return other if -1 < first < second else None


def _other(state: State) -> LookAlike | None:
    layout = layout_of(state)
    others = {other.title: other for other in LOOK_ALIKES if layout in other.layouts}
    name = _likely(state, {title: other.config for title, other in others.items()})
    return None if name is None else others[name]


def _likely(state: State, rows: Mapping[str, PVTConfig]) -> str | None:
    """Of rows by names, the name of that which a state dict is most like; None: of none enough."""
    layout = layout_of(state)
    best, name = LIKENESS, None
    for variant, config in rows.items():
        if layout not in (*families.named(config.family).layouts, "keras"):
            continue
        entries = classifier_map(config, layout)
        keys = {key for entry in entries for key in entry.torch}
        likeness = len(keys & state.keys()) / len(keys | state.keys())
        if likeness > best and _has_shapes(config, entries, state):
            best, name = likeness, variant
    return name


def _has_shapes(config: PVTConfig, entries: list[Entry], state: State) -> bool:
    """Whether what shapes tell is as a row has it, but for what any model may have of its own."""
    told = told_of_state(state, config)
    same = all(
        getattr(config, name) == value
        for name, value in told.items()
        if name not in ("depths", "image_size", "classes")
    )
    return same and _widths(config, entries, state) == config.embed_dims


def config_of_state(state: State, config: PVTConfig) -> PVTConfig:
    """A row with the resolution and the classes that a `trunk` tells."""
    told = told_of_state(state, config)
    known = {name: told[name] for name in ("image_size", "classes") if name in told}
    return dataclasses.replace(config, **known)


def told_of_state(state: State, config: PVTConfig) -> dict[str, Any]:
    """The fields of a row that the shapes of a `trunk` tell.

    Args:
        state: of a classifier or a backbone.
        config: the row, for what the state dict lacks.
    """
    family, layout = families.named(config.family), layout_of(state)
    if layout not in (*family.layouts, "keras"):  # of another family
        return {}
    outline = dataclasses.replace(config, **family.outline)
    entries = classifier_map(outline, layout)
    places = {path: entry for entry in entries for path in entry.keras}

    def get(path: str) -> np.ndarray | None:
        return keras_array([places[path]], state, path) if path in places else None

    try:
        told, kernel = family.load("told")(config, get), get("head/kernel")
        return told if kernel is None else told | {"classes": kernel.shape[1]}
    except IndexError:  # an array of fewer axes than any such weight has
        return {}


def _some_start(keys: Iterable[str], start: str) -> bool:
    return any(key.startswith(start) for key in keys)


def _widths(config: PVTConfig, entries: list[Entry], state: State) -> tuple[int, ...]:
    path = families.named(config.family).width
    vectors = (keras_array(entries, state, path.format(n=n)) for n in (1, 2, 3, 4))
    return tuple(-1 if vector is None else vector.size for vector in vectors)


def keras_array(entries: list[Entry], state: State, path: str) -> np.ndarray | None:
    """The Keras array at a path, where the state dict has it in a possible shape."""
    for entry in entries:
        if path in entry.keras:
            try:
                arrays = entry.layout.to_keras(*(state[key] for key in entry.torch))
                return arrays[entry.keras.index(path)]
            except (KeyError, ValueError):
                return None
    return None
