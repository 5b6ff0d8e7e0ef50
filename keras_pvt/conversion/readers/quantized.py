"""Kernels that Keras has quantized, as the numbers that they stand for."""

import collections
import logging

import numpy as np

from keras_pvt.conversion.readers.mapped import CheckpointError

# Arrays of a dense layer in float8 without a bias.
FEWEST_OF_FLOAT8 = 7
logger = logging.getLogger("keras_pvt")


def dequantized(
    kernel: np.ndarray,
    scale: np.ndarray,
    zero: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    *,
    packed: bool,
) -> np.ndarray:
    """The kernel that a quantized one of a dense layer stands for.

    Args:
        kernel: int8 `(inputs, outputs)`; or, packed, two numbers of 4 bits in each byte,
            `(inputs, ceil(outputs / 2))`.
        scale: `(outputs,)`, what the kernel was multiplied by; with groups `(groups, outputs)`,
            what the numbers have to be multiplied by.
        zero: `(groups, outputs)`, the number that stands for 0.
        groups: `(inputs,)`, the group of each row, whole numbers of any dtype.
        packed: whether the numbers have 4 bits.
    Returns:
        `(inputs, outputs)`, float32; not finite where a scale is not, or is 0.
    Raises:
        ValueError: shapes, dtypes or groups that do not belong together.
    Source:
        Keras 3.15, keras/src/layers/core/dense.py and keras/src/quantizers/quantizers.py.
    """
    outputs = scale.shape[-1] if scale.ndim else 0
    columns = (outputs + 1) // 2 if packed else outputs
    if kernel.dtype != np.int8 or kernel.ndim != 2 or kernel.shape[1] != columns:
        raise ValueError(f"{kernel.dtype} {kernel.shape} with scales {scale.shape}")
    if packed:
        low, high = np.left_shift(kernel, 4) >> 4, kernel >> 4
        kernel = np.stack([low, high], axis=-1).reshape(len(kernel), -1)[:, :outputs]
    numbers, scale = kernel.astype("float32"), scale.astype("float32")
    with np.errstate(all="ignore"):  # who takes the weights looks whether they are finite
        if zero is None or groups is None:
            if scale.ndim != 1:
                raise ValueError(f"scales {scale.shape} without groups")
            return numbers / scale
        if scale.ndim != 2 or zero.shape != scale.shape or groups.shape != (len(kernel),):
            raise ValueError(f"scales {scale.shape}, zeros {zero.shape}, groups {groups.shape}")
        if not np.isin(groups, np.arange(len(scale))).all():
            raise ValueError(f"groups that are no whole numbers below {len(scale)}")
        of_row = groups.astype("int64")
        return (numbers - zero.astype("float32")[of_row]) * scale[of_row]


def plain_layers(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a Keras file with plain kernels in place of quantized ones.

    What Keras keeps beside them (scales, zeros, groups, the ranges of float8) is left out. How many
    kernels there are is told as a warning of logger "keras_pvt".

    Args:
        arrays: by layer and number, such as "head/0".
    Returns:
        The same, where nothing is quantized.
    Raises:
        CheckpointError: a layer that is quantized in another way than by int8, int4 and float8.
    """
    layers: dict[str, list[str]] = {}
    for name in arrays:
        layers.setdefault(name.rpartition("/")[0], []).append(name)
    most = max(map(len, layers.values()), default=0)
    if most < FEWEST_OF_FLOAT8 and not any(map(_is_byte, arrays.values())):
        return arrays  # nearly always, and sooner
    plain: dict[str, np.ndarray] = {}
    counts: collections.Counter[str] = collections.Counter()
    for layer, names in layers.items():
        names.sort(key=lambda name: int(name.rpartition("/")[2]))  # shards have some each
        try:
            parts, mode = _plain([arrays[name] for name in names])
        except ValueError as error:
            raise CheckpointError(
                f"layer {layer[:80]!r} is quantized, in a way that is not read ({error}); take the "
                "model as it was before `quantize`"
            ) from error
        counts += collections.Counter(filter(None, [mode]))
        plain |= dict(zip(names, parts, strict=False))
    if counts:
        shown = ", ".join(f"{count} in {mode}" for mode, count in sorted(counts.items()))
        logger.warning("quantized kernels are read as the numbers that they stand for: %s", shown)
    return plain


def _plain(parts: list[np.ndarray]) -> tuple[list[np.ndarray], str | None]:
    """Kernel and bias of a layer, and its mode of quantization; else the arrays as they are.

    A dense layer has a kernel, a bias where it uses one, and then: in int8 the scales; in int4 the
    scales, and with groups their zeros and the groups; in float8 a scale and the largest values of
    late, for inputs, kernel and gradients, beside a kernel of floats.
    """
    if any(map(_is_byte, parts)):
        bias = parts[1 : 1 + len(parts) % 2]
        kernel, beside = parts[0], parts[1 + len(bias) :]
        if kernel.dtype != np.int8 or len(beside) not in (1, 3):
            raise ValueError(f"{len(parts)} arrays, the first {kernel.dtype}: GPTQ or AWQ, perhaps")
        packed = len(beside) == 3 or _has_4_bits(kernel, beside[0])
        return [dequantized(kernel, *beside, packed=packed), *bias], "int4" if packed else "int8"
    if (
        len(parts) in (FEWEST_OF_FLOAT8, FEWEST_OF_FLOAT8 + 1)
        and [part.ndim for part in parts[-6:]] == [0, 1] * 3
    ):
        return parts[:-6], "float8"
    return parts, None


def _is_byte(array: np.ndarray) -> bool:
    return array.dtype.kind in "iu" and array.dtype.itemsize == 1


def _has_4_bits(kernel: np.ndarray, scale: np.ndarray) -> bool:
    """Whether a kernel with a scale for each output is packed. Of a single output, a byte has one
    number of 4 bits, and none of 8 bits would be so small: the largest of a column is 127."""
    if scale.shape == (1,):
        return kernel.min(initial=0) >= 0 and kernel.max(initial=0) < 16
    return kernel.shape[-1] != scale.shape[-1]
