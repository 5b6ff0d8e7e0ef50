"""A state dict laid against a model, before anything is copied."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_pvt import families, systems
from keras_pvt.conversion.description import describe, described
from keras_pvt.conversion.maps.entries import Entry, as_stored, classifier_map
from keras_pvt.conversion.plain import adapted_layers
from keras_pvt.conversion.recognise import (
    config_of_state,
    layout_of,
    likely_variant,
    look_alike,
    stuck,
    system_of_state,
    told_of_state,
    trunk,
    trunk_of,
    unwrap,
)
from keras_pvt.ops import linear_weights
from keras_pvt.variants import VARIANTS, LookAlike, PVTConfig

PATCH_KERNEL = "stage1_patch_embedding/proj/kernel"
# Fields of a row that a model of any variant may have as it wants.
FREE = ("image_size", "classes")


def resized_positions(table: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear resize of a position table, as the models do it at run time.

    Args:
        table: `(1, rows, columns, C)`.
        height: rows wanted.
        width: columns wanted.
    Returns:
        `(1, height, width, C)`, float64.
    """
    wide = np.asarray(table[0], "float64")
    rows, columns = (
        linear_weights(n, m) for n, m in zip((height, width), wide.shape, strict=False)
    )
    return np.einsum("ij,jkc,lk->ilc", rows, wide, columns, optimize=True)[None]


def adapted_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """An RGB kernel for another number of input channels.

    One channel (gray) gets the sum over RGB, so that gray images give what the same image
    in RGB gives. Otherwise RGB repeat in turn, scaled by 3 / channels, so that sums keep
    their size.

    Args:
        kernel: `(height, width, 3, C)`.
        channels: wanted.
    Returns:
        `(height, width, channels, C)`, float64.
    """
    wide = np.asarray(kernel, "float64")
    if channels == 1:
        return wide.sum(axis=2, keepdims=True)
    return wide[:, :, np.arange(channels) % 3] * (3 / channels)


def said_of(other: LookAlike) -> str:
    """What there is to say of a file whose shapes are another network's, in a line."""
    fields = ", ".join(f"{name}={value}" for name, value in other.row.items())
    return (
        f"this is {other.title}, which has the keys of {other.variant} with {fields} and other "
        "weights; it is loaded into a model of such a PVTConfig of your own"
    )


def said_of_twin(other: LookAlike) -> str:
    """What there is to say of a file that may be another network's, in a line."""
    return (
        f"this may be {other.title}, which has the keys and shapes of {other.variant} and other "
        "weights: its keys are in the order of that code, and nothing else tells the two apart"
    )


def layouts_of(model: keras.Model) -> tuple[str, ...]:
    """The layouts in which other libraries have a model, the official one first."""
    system = systems.of_model(model)
    if system is None:
        return tuple(families.named(families.config_of(model).family).layouts)
    return tuple(system.names)


def model_map(model: keras.Model, layout: str) -> list[Entry]:
    """Every weight of a model, in the order of its official state dict.

    Args:
        model: built by keras_pvt.
        layout: one of `layouts_of`, or "keras", see `classifier_map`.
    Raises:
        ValueError: a model that keras_pvt did not build, or a layout that it does not have.
    """
    config, system = families.config_of(model), systems.of_model(model)
    if system is None:
        return classifier_map(config, layout)
    if layout not in (*layouts_of(model), "keras"):
        raise ValueError(
            f"model {model.name!r} has no {layout} layout, only {', '.join(layouts_of(model))}."
        )
    entries = system.key_map(layout, config, model)
    return as_stored(entries) if layout == "keras" else entries


@dataclasses.dataclass
class Report:
    """What a load did beyond copying.

    Args:
        notices: one line for each step that changed or replaced weights.
        skipped: key in the checkpoint to the reason why it was not used.
        untold: of a model that was made for its weights, arguments that those alone would not
            give back, and their values.
        classes: of such a model, the names of what it tells apart, where the file has them.
    """

    notices: list[str] = dataclasses.field(default_factory=list)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    untold: dict[str, Any] = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] | None = None


def left_out(left: Iterable[str], prefix: str, of_trunk: bool) -> Report:
    """The report of a load, as far as it is known from the keys of the file.

    Args:
        left: keys that are not used.
        prefix: that was taken off the others; empty: none.
        of_trunk: whether a backbone or a classifier is loaded, and no whole system.
    """
    reason = "not part of the backbone" if of_trunk else "not part of the model"
    notice = f"the prefix {prefix!r} before the keys is taken off"
    return Report([notice] if prefix else [], dict.fromkeys(left, reason))


class Fit:
    """Values for the variables of a model, or all that is wrong with them.

    Args:
        model: built by keras_pvt.
        state: arrays by name, in any layout.
        resize_positions: see `load_checkpoint`, as for the next two.
        new_head: keep the model's head, and its queries, where the checkpoint's are others.
        adapt_channels: change the first convolution.
    Attributes:
        variables: of the model, by path.
        values: arrays for `variables`, by path; all of them if there is no problem.
        report: what was changed and skipped.
        problems: text, empty if there is none.
    Raises:
        ValueError: a model that Keras has quantized, whose kernels are no numbers to compare.
    """

    def __init__(
        self,
        model: keras.Model,
        state: Mapping[str, np.ndarray],
        resize_positions: bool = False,
        new_head: bool = False,
        adapt_channels: bool = False,
    ):
        modes = {layer.quantization_mode for layer in adapted_layers(model)} - {None, "float8"}
        if modes:
            raise ValueError(
                f"model {model.name!r} is quantized ({', '.join(sorted(modes))}), with no place "
                "for the kernels of a checkpoint: load them before `quantize`."
            )
        self.variables = {variable.path: variable for variable in model.variables}
        self.shapes = {path: tuple(variable.shape) for path, variable in self.variables.items()}
        self.system = systems.of_model(model)
        self.config = families.config_of(model)
        self.head = ("head/",) if self.system is None else self.system.per_class
        self.different = _configured_otherwise(model, state)
        unwrapped = unwrap(state, whole=self.system is not None)
        self.state, left = unwrapped.state, unwrapped.left
        if self.system is None:
            self.state, left = trunk_of(unwrapped)
        self.report = left_out(left, unwrapped.prefix, self.system is None)
        self.numbers: dict[str, str] = {}
        if new_head and self.system is not None:
            numbers = self.system.numbers.items()
            self.numbers = {path: name.removeprefix("num_") for path, name in numbers}
        self.resize_positions = resize_positions
        self.adapt_channels = adapt_channels
        self.values: dict[str, np.ndarray] = {}
        self.missing: list[str] = []
        self.misshaped: list[str] = []
        self.infinite: list[str] = []
        self.resized: list[str] = []
        self.unexpected: list[str] = []
        self.foreign = self._other_system()
        if self.foreign is not None:
            return
        layout = layout_of(self.state)
        if layout not in (*layouts_of(model), "keras"):
            layout = "official"  # of another kind: nothing fits, and `problems` says what it is
        entries = model_map(model, layout)
        self.trunk_alone = not any(
            key in self.state
            for entry in entries
            if entry.keras and not entry.keras[0].startswith("stage")
            for key in entry.torch
        )
        unused = "the model has no place for it"
        own_head = "the model keeps its own new head"
        keeps_head = new_head and self._other_head(entries)
        for entry in entries:
            if not any(path in self.variables for path in entry.keras):
                self._skip(entry, unused)
            elif keeps_head and self._in_head(entry):
                self._skip(entry, own_head)
            else:
                self._take(entry)
        if self.resized:
            self.report.notices.append(f"position tables resized: {', '.join(self.resized)}")
        if layout not in ("official", "keras"):
            named = {path for entry in entries for path in entry.keras}
            for entry in model_map(model, "official"):
                paths = {path for path in entry.keras if path in self.variables} - named
                if paths and not (keeps_head and self._in_head(entry)):
                    self.missing += entry.torch
        known = {key for entry in entries for key in entry.torch}
        self.unexpected = [key for key in self.state if key not in known]

    def _other_system(self) -> str | None:
        """The system that the checkpoint is of, where the model is another one."""
        if self.system is None:
            return None
        found = system_of_state(self.state)
        return None if found == self.system.name else found

    def _in_head(self, entry: Entry) -> bool:
        """Whether weights are the head's, which is made for a number of classes."""
        return bool(entry.keras) and entry.keras[0].startswith(self.head)

    def _other_head(self, entries: list[Entry]) -> bool:
        """Whether the checkpoint's head is absent, or for another number of classes."""
        if not any(path.startswith(self.head) for path in self.variables):
            return False
        heads = [entry for entry in entries if self._in_head(entry)]
        own = self._classes(lambda path: np.empty(self.shapes[path]))
        if not any(key in self.state for entry in heads for key in entry.torch):
            self.report.notices.append(
                f"the checkpoint has no head: the new head of {own} classes is untrained"
            )
            return True
        try:
            theirs = self._classes(functools.partial(self._converted, entries))
        except (KeyError, ValueError, TypeError):  # something is missing or mis-shaped
            return False
        if theirs != own:
            said = f", and classes={theirs} takes the checkpoint's" if self.system is None else ""
            self.report.notices.append(
                f"the head of {own} classes is new and untrained; the checkpoint's has {theirs}"
                + said
            )
            return True
        return False

    def _classes(self, get: Callable[[str], np.ndarray]) -> int:
        """How many classes a head tells apart whose arrays `get` gives by the paths."""
        return len(get("head/bias")) if self.system is None else self.system.load("classes")(get)

    def _converted(self, entries: list[Entry], path: str) -> np.ndarray:
        """The checkpoint's array for the path of a variable."""
        entry = next(entry for entry in entries if path in entry.keras)
        arrays = [self.state[key] for key in entry.torch]
        return entry.layout.to_keras(*arrays)[entry.keras.index(path)]

    def _skip(self, entry: Entry, reason: str) -> None:
        self.report.skipped |= {key: reason for key in entry.torch if key in self.state}

    def _take(self, entry: Entry) -> None:
        missing = [key for key in entry.torch if key not in self.state]
        self.missing += missing
        if missing:
            return
        arrays = [self.state[key] for key in entry.torch]
        if any(array.dtype.kind != "f" and array.dtype.name != "bfloat16" for array in arrays):
            self._misshaped(entry, arrays)
            return
        try:
            values = entry.layout.to_keras(*arrays)
        except ValueError:
            self._misshaped(entry, arrays)
            return
        for path, value in zip(entry.keras, values, strict=True):
            if path not in self.variables:
                self.report.skipped[entry.torch[0]] = f"in part: no place for the row of {path}"
                continue
            if self._of_another_number(path, value):
                self._skip(entry, f"the model keeps its own {self.numbers[path]}")
                return
            value = self._adapted(path, value)
            variable = self.variables[path]
            if value.shape != self.shapes[path]:
                self._misshaped(entry, arrays)
                return
            if not _finite(value, assignable(variable)):
                self.infinite += entry.torch
                return
            self.values[path] = value

    def _of_another_number(self, path: str, value: np.ndarray) -> bool:
        """Whether a value has more or fewer rows than the model, which may have its own."""
        have, want = value.shape, self.shapes[path]
        if path not in self.numbers or have[1:] != want[1:] or have == want:
            return False
        kept = f"the {want[0]} {self.numbers[path]} are new and untrained"
        self.report.notices.append(f"{kept}; the checkpoint has {have[0]}")
        return True

    def _adapted(self, path: str, value: np.ndarray) -> np.ndarray:
        """The value, changed by the rule that the path allows, if its shape needs one."""
        have, want = value.shape, self.shapes[path]
        if have == want or len(have) != 4:
            return value
        if self.resize_positions and path.endswith("_position/table") and have[3] == want[3]:
            self.resized.append(
                f"{path.split('_')[0]} {have[1]}x{have[2]} to {want[1]}x{want[2]} cells"
            )
            return resized_positions(value, *want[1:3])
        if self.adapt_channels and path == PATCH_KERNEL and have[2] == 3:
            self.report.notices.append(
                f"the first convolution was adapted from RGB to {want[2]} input channels"
            )
            return adapted_channels(value, want[2])
        return value

    def _misshaped(self, entry: Entry, arrays: list[np.ndarray]) -> None:
        variables = [self.variables.get(path) for path in entry.keras]
        zeros = [None if v is None else np.zeros(v.shape, "float32") for v in variables]
        wanted = entry.layout.to_torch(*zeros)
        self.misshaped += [
            f"{key} {_spelt(array)} for {_spelt(want)}"
            for key, array, want in zip(entry.torch, arrays, wanted, strict=True)
        ]

    @property
    def problems(self) -> str:
        """Every problem in one text, a line a kind; empty if there is none."""
        if self.foreign is not None and self.system is not None:
            return (
                f"  this is a {self.foreign} checkpoint, and the model a {self.system.name}: build "
                "the former, or let `keras-pvt convert` do it."
            )
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "mis-shaped": self.misshaped,
            "infinite or NaN": self.infinite,
            "configured otherwise": self.different,
        }
        lines = [f"  {len(keys)} {kind}: {_some(keys)}" for kind, keys in kinds.items() if keys]
        if not lines:
            return ""
        if prefix := stuck(self.state):
            lines.append(f"  {prefix}")
        # Of another network nearly every key is wrong, and one line says more than their names.
        body, _ = trunk(self.state)
        variant, other = likely_variant(body), look_alike(body)
        if other is not None and without_free(other.config) != without_free(self.config):
            return f"  {said_of(other)}"
        if variant is None:
            return "\n".join(lines)
        theirs = config_of_state(body, VARIANTS[variant])
        wrong = self._wrong(variant, theirs)
        if wrong:
            return f"  this looks like {variant}{wrong}"
        if self.system is not None and self.trunk_alone:
            return (
                f"  this is a classifier or a backbone, {variant}, and the model a "
                f"{self.system.name}: load it into the model's backbone, by `weights`"
            )
        return "\n".join([*lines, *self._advice(body)])

    def _wrong(self, variant: str, theirs: PVTConfig) -> str:
        """How the row of a checkpoint is not the model's; empty where shapes are the same."""
        family = families.named(self.config.family)
        other = families.named(theirs.family)
        rows = {without_free(row): name for name, row in VARIANTS.items()}
        own = rows.get(without_free(self.config), "one of its own")
        if family is not other:
            return f", of {other.title}, and the model is {own}, of {family.title}"
        apart = [
            f"{field.name} {value}, not {getattr(self.config, field.name)}"
            for field in dataclasses.fields(theirs)
            if field.name not in (*FREE, *family.untold)
            and (value := getattr(theirs, field.name)) != getattr(self.config, field.name)
        ]
        return f", and the model is {own}: {'; '.join(apart)}" if apart else ""

    def _advice(self, body: Mapping[str, np.ndarray]) -> list[str]:
        """What would make a checkpoint fit that is of the model's variant."""
        classes = told_of_state(body, self.config).get("classes")  # none without a head
        if "head/bias" in self.variables and classes not in (None, self.config.classes):
            return [
                f"  the checkpoint has {classes} classes, the model {self.config.classes}: "
                f"pass classes={classes}"
            ]
        return []


def without_free(row: PVTConfig) -> PVTConfig:
    """A row with the usual size of images and number of classes, to be compared with others."""
    return dataclasses.replace(row, image_size=224, classes=1000)


def _configured_otherwise(model: keras.Model, state: Mapping[str, np.ndarray]) -> list[str]:
    """What answers depend on and no shape tells, where the checkpoint says otherwise."""
    said = described(state)
    if said is None:
        return []
    own = describe(model)
    row = own.backbone["variant"]
    names = families.named(row["family"]).untold
    places = [(said.backbone.get("variant"), row, names)]
    if said.system == own.system:
        places.append((said.options, own.options, tuple(systems.SYSTEMS[own.system].untold)))
    return [
        f"{name} {str(theirs[name])[:80]} in the checkpoint, {ours[name]} in the model"
        for theirs, ours, names in places
        for name in names
        if isinstance(theirs, dict) and theirs.get(name, ours[name]) != ours[name]
    ]


def assignable(variable: keras.Variable) -> str:
    """The dtype in which Keras takes values for a variable; bfloat16 it narrows itself."""
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return "float32" if dtype == "bfloat16" else dtype


def _finite(value: np.ndarray, dtype: str) -> bool:
    """Whether all values are finite, also once they are of `dtype`."""
    with np.errstate(over="ignore", invalid="ignore"):
        if value.dtype.itemsize > np.dtype(dtype).itemsize:
            value = value.astype(dtype)
        # A finite sum has finite terms, and takes a fraction of the time of looking at each.
        return bool(np.isfinite(value.sum(dtype="float32")) or np.isfinite(value).all())


def _spelt(array: np.ndarray) -> str:
    floating = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    return f"{array.shape}" if floating else f"{array.dtype.name} {array.shape}"


def _some(keys: list[str], limit: int = 12) -> str:
    """The keys, as far as a reader wants them."""
    more = f"; and {len(keys) - limit} more" if len(keys) > limit else ""
    return "; ".join(keys[:limit]) + more
