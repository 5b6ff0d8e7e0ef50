"""Weights into a model, and out of one."""

import dataclasses
import os
from collections.abc import Mapping

import keras
import numpy as np

from keras_pvt.conversion import adapt
from keras_pvt.conversion.checkpoint_files import read_checkpoint
from keras_pvt.conversion.errors import CheckpointError
from keras_pvt.conversion.key_map import NAMES, Entry, key_map
from keras_pvt.conversion.recognise import layout_of, likely_variant, trunk
from keras_pvt.models.pvt import config_of

PATCH_KERNEL = "stage1_patch_embedding/proj/kernel"


@dataclasses.dataclass
class Report:
    """What a load did beyond copying.

    Args:
        notices: one line for each step that changed or replaced weights.
        skipped: key in the checkpoint to the reason why it was not used.
    """

    notices: list[str] = dataclasses.field(default_factory=list)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)


def load_checkpoint(
    model: keras.Model,
    source: str | os.PathLike | Mapping[str, np.ndarray],
    *,
    resize_positions: bool = False,
    new_head: bool = False,
    adapt_channels: bool = False,
) -> Report:
    """Set every weight of a model from a checkpoint, or none.

    Weights that the model has no place for by design (the class token, last norm and head, in
    a pyramid) are skipped and reported. All others must fit, unless a rule is allowed.

    Args:
        model: built by keras_pvt; any dtype.
        source: path of a file that `read_checkpoint` reads, or a state dict of any layout.
        resize_positions: resize position tables of another resolution.
        new_head: keep the model's own head where the checkpoint has none, or one of another
            number of classes.
        adapt_channels: make an RGB checkpoint fit another number of input channels.
    Returns:
        What was resized, adapted, kept or skipped.
    Raises:
        CheckpointError: a file that cannot be read; keys missing, unexpected or mis-shaped,
            all in one message; values that are not finite. The model is as it was.
        ValueError: a model that keras_pvt did not build.
        OSError: a file that cannot be opened.
    """
    state = source if isinstance(source, Mapping) else read_checkpoint(source)
    fit = _Fit(model, state, resize_positions, new_head, adapt_channels)
    if fit.problems:
        name = "the state dict" if isinstance(source, Mapping) else os.fspath(source)
        raise CheckpointError(f"{name} does not fit model {model.name!r}:\n{fit.problems}")
    for path, value in fit.values.items():
        variable = fit.variables[path]
        variable.assign(np.array(value, _assignable(variable), order="C"))
    return fit.report


def to_torch(model: keras.Model, layout: str = "official") -> dict[str, np.ndarray]:
    """The weights of a model as a torch state dict, in the official order.

    Args:
        model: built by keras_pvt.
        layout: names, "official" (whai362/PVT) or "huggingface" (transformers). A model
            without class token gives the official layout of the detection code, where
            `pos_embed4` has an unused first row: zeros.
    Returns:
        Arrays of their own, in the dtype of the variables; for `save_checkpoint`.
    Raises:
        ValueError: an unknown layout; a model without head for "huggingface".
    """
    if layout not in NAMES:
        raise ValueError(f"`layout` must be one of {', '.join(NAMES)}; got {layout!r}.")
    variables = {variable.path: variable for variable in model.variables}
    if layout == "huggingface" and "head/kernel" not in variables:
        raise ValueError(
            f"transformers has no PVT without a head, as model {model.name!r} is; use the "
            "official layout, or a model with include_top=True."
        )
    state: dict[str, np.ndarray] = {}
    for entry in key_map(config_of(model), layout):
        arrays = [
            keras.ops.convert_to_numpy(variables[path].value) if path in variables else None
            for path in entry.keras
        ]
        if arrays[-1] is not None:
            converted = entry.layout.to_torch(*arrays)
            state |= {
                key: np.array(array, order="C")
                for key, array in zip(entry.torch, converted, strict=True)
            }
    return state


def differences(model: keras.Model, state: Mapping[str, np.ndarray]) -> list[str]:
    """Paths of variables that differ from a state dict, each compared in the latter's dtype.

    Raises:
        CheckpointError: the state dict does not fit the model.
    """
    fit = _Fit(model, state)
    if fit.problems:
        raise CheckpointError(f"the state dict does not fit model {model.name!r}:\n{fit.problems}")
    return [
        path
        for path, value in fit.values.items()
        if not np.array_equal(
            value, keras.ops.convert_to_numpy(fit.variables[path].value).astype(value.dtype)
        )
    ]


class _Fit:
    """A state dict laid against a model: values for its variables, or the problems."""

    def __init__(self, model, state, resize_positions=False, new_head=False, adapt_channels=False):
        self.model = model
        self.variables = {variable.path: variable for variable in model.variables}
        self.state, left = trunk(state)
        self.report = Report(skipped=dict.fromkeys(left, "not part of the backbone"))
        self.resize_positions = resize_positions
        self.adapt_channels = adapt_channels
        self.values: dict[str, np.ndarray] = {}
        self.missing: list[str] = []
        self.misshaped: list[str] = []
        self.infinite: list[str] = []
        self.resized: list[str] = []
        entries = key_map(config_of(model), layout_of(self.state))
        unused = "the model has no place for it"
        own_head = "the model keeps its own new head"
        keeps_head = new_head and self._other_head(entries)
        for entry in entries:
            if not any(path in self.variables for path in entry.keras):
                self._skip(entry, unused)
            elif keeps_head and entry.keras[0].startswith("head/"):
                self._skip(entry, own_head)
            else:
                self._take(entry)
        if self.resized:
            self.report.notices.append(f"position tables resized: {', '.join(self.resized)}")
        known = {key for entry in entries for key in entry.torch}
        self.unexpected = [key for key in self.state if key not in known]

    def _other_head(self, entries: list[Entry]) -> bool:
        """Whether the checkpoint's head is absent, or for another number of classes."""
        (kernel,), (bias,) = (entry.torch for entry in entries[-2:])
        if "head/bias" not in self.variables:
            return False
        classes = self.variables["head/bias"].shape[0]
        if bias not in self.state and kernel not in self.state:
            self.report.notices.append(
                f"the checkpoint has no head: the new head of {classes} classes is untrained"
            )
            return True
        if bias in self.state and self.state[bias].shape != (classes,):
            self.report.notices.append(
                f"the checkpoint's head has {self.state[bias].size} classes, the model "
                f"{classes}: the new head is untrained"
            )
            return True
        return False

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
            value = self._adapted(path, value)
            variable = self.variables[path]
            if value.shape != tuple(variable.shape):
                self._misshaped(entry, arrays)
                return
            if not _finite(value, _assignable(variable)):
                self.infinite += entry.torch
                return
            self.values[path] = value

    def _adapted(self, path: str, value: np.ndarray) -> np.ndarray:
        """The value, changed by the rule that the path allows, if its shape needs one."""
        have, want = value.shape, tuple(self.variables[path].shape)
        if have == want or len(have) != 4:
            return value
        if self.resize_positions and path.endswith("_position/table") and have[3] == want[3]:
            self.resized.append(
                f"{path.split('_')[0]} {have[1]}x{have[2]} to {want[1]}x{want[2]} cells"
            )
            return adapt.resize_positions(value, *want[1:3])
        if self.adapt_channels and path == PATCH_KERNEL and have[2] == 3:
            self.report.notices.append(
                f"the first convolution was adapted from RGB to {want[2]} input channels"
            )
            return adapt.adapt_channels(value, want[2])
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
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "mis-shaped": self.misshaped,
            "infinite or NaN": self.infinite,
        }
        lines = [f"  {len(keys)} {kind}: {_some(keys)}" for kind, keys in kinds.items() if keys]
        variant = likely_variant(self.state) if lines else None
        if variant is not None:
            lines.append(f"  this looks like {variant}")
        return "\n".join(lines)


def _assignable(variable) -> str:
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
