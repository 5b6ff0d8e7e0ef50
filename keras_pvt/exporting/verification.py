"""Whether an artifact answers as its model does, on the same images."""

import contextlib
import dataclasses
import pathlib

import keras
import numpy as np

from keras_pvt import runtimes
from keras_pvt.exporting.errors import ExportError, reason
from keras_pvt.exporting.subject import LABELS, Shape, takes_pixels
from keras_pvt.models.preprocessing import preprocess_input

# What is open is tried at more than one: unequal, and no multiple of 32.
_BATCHES = (1, 2)
_SIDES = ((224, 224), (250, 333))
# Representative images that are compared.
_COMPARED = 8
# Largest error, in units of the output's rms where that is above 1.
TOLERANCE = 1e-4
# Smallest cosine after a quantization.
COSINES = {"float16": 0.9999, "dynamic": 0.999, "int8": 0.999, "full-int8": 0.995}
# Largest share of pixels whose class may differ, as it does where two are as likely.
SHARES = {None: 0.001, "float16": 0.002, "dynamic": 0.02, "int8": 0.02, "full-int8": 0.05}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """An output of model and artifact.

    Args:
        output: its name.
        input_shape: of the images.
        error: largest absolute difference; of classes the share of pixels that differ, 0 to 1.
        cosine: of the angle between the two, as flat vectors; 1 where they agree; NaN of classes.
        passed: whether they agree as they should.
        classes: whether it is of the numbers of classes.
    """

    output: str
    input_shape: tuple[int, ...]
    error: float
    cosine: float
    passed: bool
    classes: bool = False

    @property
    def difference(self) -> str:
        """The error, as it is read."""
        return f"{self.error:.3%} of the pixels" if self.classes else f"{self.error:.2g}"

    @property
    def allowed(self) -> str:
        """The largest error of an artifact that is not quantized, as it is read."""
        return f"{SHARES[None]:.1%}" if self.classes else f"{TOLERANCE:g}"


def compare(
    model: keras.Model,
    format: str,
    path: pathlib.Path,
    shape: Shape,
    quantize: str | None = None,
    images: np.ndarray | None = None,
) -> list[Comparison]:
    """Run model and artifact on the same images, at several sizes where sizes are open.

    Args:
        model: as `named` gives it.
        format: name of the format.
        path: of the artifact.
        shape: that it was exported with.
        quantize: that it was exported with.
        images: representative images, which then are compared; else coloured noise is.
    Raises:
        ExportError: its runtime does not run the artifact.
    """
    with _running(format):
        run = runtimes.load(format, path)
    comparisons = []
    for batches in _inputs(model, shape, images):
        ours = [model(batch, training=False) for batch in batches]
        with _running(format):
            theirs = [run(batch) for batch in batches]
        for name in ours[0]:
            expected = np.stack([keras.ops.convert_to_numpy(answer[name]) for answer in ours])
            found = np.stack([answer[name] for answer in theirs])
            comparisons.append(_compared(name, batches[0].shape, expected, found, quantize))
    return comparisons


@contextlib.contextmanager
def _running(format):
    """What the runtime refuses, as an error of the export."""
    try:
        yield
    except Exception as error:  # each runtime has kinds of its own
        raise ExportError(f"the {format} that was written does not run: {reason(error)}") from error


def _compared(name, input_shape, expected, found, quantize):
    if found.shape != expected.shape:
        return Comparison(name, input_shape, np.inf, np.nan, False)
    if name == LABELS:
        share = float(np.mean(expected != found))
        return Comparison(name, input_shape, share, np.nan, share <= SHARES[quantize], True)
    error, cosine = difference(expected, found)
    if quantize is None:
        scale = max(1.0, float(np.sqrt(np.mean(np.square(expected, dtype="float64")))))
        passed = error <= TOLERANCE * scale
    else:
        passed = cosine >= COSINES[quantize]
    return Comparison(name, input_shape, error, cosine, passed)


def difference(expected: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Largest absolute difference of two arrays of one shape, and the cosine of their angle."""
    one, other = (np.asarray(x, "float64").ravel() for x in (expected, found))
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    cosine = float(one @ other / norms) if norms else float(np.array_equal(one, other))
    return float(np.abs(one - other).max()), cosine


def _inputs(model, shape, images):
    """Lists of batches of one shape each."""
    batch, *sides, channels = shape
    counts = _BATCHES if batch is None else (batch,)
    if images is not None:
        return [list(_batches(images, count)) for count in counts]
    rng = np.random.default_rng(0)
    sizes = dict.fromkeys(
        tuple(side or other for side, other in zip(sides, tried, strict=True)) for tried in _SIDES
    )
    return [[_noise(model, rng, (count, *size, channels))] for count in counts for size in sizes]


def _batches(images, count):
    """`_COMPARED` images, or as many as there are, and the first ones again to fill up."""
    for start in range(0, min(_COMPARED, len(images)), count):
        yield np.take(images, range(start, start + count), axis=0, mode="wrap")


def _noise(model, rng, shape):
    """Patches of random colours, 0..255 or normalised, as the model takes them."""
    batch, height, width, channels = shape
    cells = rng.uniform(0, 255, (batch, height // 8 + 1, width // 8 + 1, channels))
    pixels = cells.repeat(8, 1).repeat(8, 2)[:, :height, :width].astype("float32")
    return pixels if takes_pixels(model) else preprocess_input(pixels)
