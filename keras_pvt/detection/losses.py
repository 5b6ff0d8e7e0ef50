"""Losses of detectors, of single predictions; nothing is averaged here."""

from keras import ops


def focal_loss(logits, labels, alpha: float = 0.25, gamma: float = 2.0):
    """Sigmoid focal loss: of each class whether it is there, the easy cases counting little.

    Args:
        logits: float tensor `(..., K)`.
        labels: integer tensor `(...)`, each 0 to K - 1, or below 0 for none of them.
        alpha: weight of the class that is there; others have 1 - alpha.
        gamma: power of the error that a term is multiplied by; 1 or more.
    Returns:
        `(...)`, summed over classes.
    Source:
        Focal Loss for Dense Object Detection, arXiv 1708.02002, equation 5.
    """
    there = ops.expand_dims(labels, -1) == ops.arange(logits.shape[-1], dtype=labels.dtype)
    probability = ops.sigmoid(logits)
    present = alpha * (1 - probability) ** gamma * ops.softplus(-logits)
    absent = (1 - alpha) * probability**gamma * ops.softplus(logits)
    return ops.sum(ops.where(there, present, absent), axis=-1)


def l1_loss(values, targets):
    """Distances, summed over the last axis: `(..., n)` to `(...)`."""
    return ops.sum(ops.abs(values - targets), axis=-1)
