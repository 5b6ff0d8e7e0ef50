"""Label distributions from class numbers."""

import numpy as np


def smooth_labels(labels, classes: int, smoothing: float = 0.1) -> np.ndarray:
    """One-hot labels, of whose weight a part is spread evenly over all classes.

    Args:
        labels: integers `(B,)`, 0 to `classes` - 1.
        classes: how many there are.
        smoothing: the part that is spread, 0..1; 0 gives one-hot labels.
    Returns:
        float32 `(B, classes)`; each row sums to 1.
    Raises:
        ValueError: a label out of range, labels of other shape or dtype, or a smoothing
            outside 0..1.
    Source:
        "Rethinking the Inception architecture", arXiv 1512.00567, section 7; the values of
        timm 0.3.2 timm/data/mixup.py, where the class itself has its share of what is spread.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`labels` must be integers of shape (batch,); got {labels.dtype} {labels.shape}."
        )
    if not 0 <= smoothing <= 1:
        raise ValueError(f"`smoothing` must be 0 to 1; got {smoothing}.")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        at = outside[0]
        raise ValueError(f"label {labels[at]}, at {at}, is not one of 0 to {classes - 1}.")
    rest = smoothing / classes
    smooth = np.full((len(labels), classes), rest, "float32")
    smooth[np.arange(len(labels)), labels] = 1 - smoothing + rest
    return smooth
