"""How well an engine agrees with Keras on images of the user's."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

# In float32 the largest error, in units of the output's largest number where that is above 1; in
# the others the smallest cosine. int8 is as good as its images: below this it is another model.
LARGEST_ERROR = 1e-5
SMALLEST_COSINE = {"bfloat16": 0.9995, "int8": 0.95}
# Of the first images.
MOST = 8


@dataclasses.dataclass(frozen=True)
class Agreement:
    """What the worst of the outputs shows.

    Args:
        images: that were compared.
        error: largest difference, in units of the output's largest number where that is above 1.
        cosine: of the angle between the two, as flat vectors.
        same: share of the images, or of their pixels, with the same class; 0 to 1.
        passed: whether it is as good as the precision should be.
    """

    images: int
    error: float
    cosine: float
    same: float
    passed: bool

    def __str__(self):
        return (
            f"largest difference {self.error:.2g}, cosine {self.cosine:.6f}, the same class in "
            f"{self.same:.1%}, on the first {self.images} images"
        )


def compare(
    reference: Callable[..., dict[str, Any]],
    run: Callable[[np.ndarray], dict[str, np.ndarray]],
    images: np.ndarray,
    precision: str,
) -> Agreement:
    """Run a Keras model and its artifact on the same images.

    Args:
        reference: the model, with a dictionary of outputs, in float32.
        run: the artifact.
        images: float32 `(B, H, W, channels)`; the first `MOST` are compared.
        precision: that the artifact computes in.
    """
    import keras

    from keras_pvt.exporting.verification import difference

    images = images[:MOST]
    expected = reference(images, training=False)
    found = run(images)
    errors, cosines, same = [], [], []
    for name, value in expected.items():
        wanted = keras.ops.convert_to_numpy(value)
        if wanted.shape != found[name].shape or not np.isfinite(found[name]).all():
            return Agreement(len(images), np.inf, -1.0, 0.0, False)
        error, cosine = difference(wanted, found[name])
        errors.append(error / max(1.0, float(np.abs(wanted).max(initial=0))))
        cosines.append(cosine)
        same.append(float(np.mean(wanted.argmax(-1) == found[name].argmax(-1))))
    passed = (
        max(errors) <= LARGEST_ERROR
        if precision == "float32"
        else min(cosines) >= SMALLEST_COSINE[precision]
    )
    return Agreement(len(images), max(errors), min(cosines), min(same), passed)
