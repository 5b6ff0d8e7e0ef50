"""The weights and images behind the goldens: made by a rule, so that none is stored.

Only numpy's frozen legacy generator is used: the numbers are the same everywhere.
"""

import json
import math
import pathlib
import zlib

import numpy as np

GOLDEN = pathlib.Path(__file__).parent / "golden"
SIZES = ((224, 224), (256, 320), (250, 333), (512, 512))  # those of PVTv2's are two of them


def state_dict(name: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Official-layout float32 checkpoint of `name`, such as "pvt_tiny"."""
    shapes = json.loads((GOLDEN / "state_dicts" / f"{name}.json").read_text())
    return {key: tensor(key, tuple(shape), seed) for key, shape in shapes.items()}


def tensor(key: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """One weight; its key alone seeds it, its key and rank choose its scale."""
    rng = np.random.RandomState((zlib.crc32(key.encode()) ^ seed) & 0xFFFFFFFF)
    noise = rng.standard_normal(shape)
    if "pos_embed" in key or "cls_token" in key:
        noise = 0.2 * noise
    elif not key.endswith("weight"):
        noise = 0.05 * noise
    elif len(shape) == 1:  # the scale of a norm
        noise = 1.0 + 0.1 * noise
    else:
        noise = noise / math.sqrt(np.prod(shape[1:]))
    return noise.astype("float32")


def dense_state_dict(name: str) -> dict[str, np.ndarray]:
    """The same of a detector or segmenter, such as "semantic_fpn_pvt_tiny"."""
    shapes = json.loads((GOLDEN / "state_dicts" / f"{name}.json").read_text())
    return {key: dense_tensor(key, tuple(shape)) for key, shape in shapes.items()}


def dense_tensor(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """One weight of a detector or segmenter, by a rule of its own."""
    rng = np.random.RandomState(zlib.crc32(key.encode()))
    noise = rng.standard_normal(shape).astype("float32")
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, "int64")
    if key.endswith("running_var"):
        return 1 + np.float32(0.5) * np.abs(noise)
    if any(part in key for part in ("pos_embed", "cls_token", "cls_embed", "query_embedding")):
        return np.float32(0.2) * noise
    if len(shape) > 1:
        return (noise / np.sqrt(np.prod(shape[1:]))).astype("float32")
    scale = np.float32(0.1) * noise
    if key.endswith("retina_cls.bias"):
        return scale - 3
    return 1 + scale if key.endswith(".weight") else scale


def images(height: int, width: int, batch: int = 2, seed: int = 0) -> np.ndarray:
    """Already normalised images `(batch, height, width, 3)`, float32."""
    rng = np.random.RandomState(1000003 * height + 1009 * width + seed)
    return rng.standard_normal((batch, height, width, 3)).astype("float32")


def sample(array: np.ndarray, limit: int = 4096) -> np.ndarray:
    """The values that the goldens keep: every k-th of the flattened array, k odd."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat[:: max(1, flat.size // limit) | 1]


def golden(name: str):
    """The stored outputs of the official code."""
    return np.load(GOLDEN / f"{name}.npz")
