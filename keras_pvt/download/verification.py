"""Is a file the weights it should be: by its hash, or by its content the first time."""

import contextlib
import logging
import math
import pathlib
import re

import numpy as np

from keras_pvt import families
from keras_pvt.conversion.maps.entries import classifier_map
from keras_pvt.conversion.readers import read_checkpoint
from keras_pvt.conversion.recognise import likely_variant, look_alike
from keras_pvt.utils.files import replacing, sha256_of
from keras_pvt.variants import VARIANTS, PVTConfig

logger = logging.getLogger("keras_pvt")

RECORD_SUFFIX = ".sha256"


def verify(
    path: pathlib.Path,
    record: pathlib.Path,
    sha256: str | None,
    config: PVTConfig,
    any_head: bool = False,
) -> None:
    """Check a file against the hash that is known, else by content, and record its hash.

    The whole file is hashed each time, 0.1 s for 100 MB, rather than trusting its size and date.

    Args:
        path: the file.
        record: where the hash seen at first use is kept, in the format of `sha256sum`.
        sha256: the published hash, or None.
        config: row of the variant table that the content must fit.
        any_head: whether the head may have any width, or be absent.
    Raises:
        OSError: the file cannot be read.
        ValueError: it is another file than published or first used, or no such weights.
    """
    known, since = sha256, "published"
    if known is None:
        known = _read(record)
        since = f"recorded at first use; delete {record} if this file is right"
    digest = sha256_of(path)
    if known is None:
        check_content(path, config, any_head)
        # A read-only cache keeps no record; its file is checked by content at every use.
        with contextlib.suppress(OSError):
            _write(record, digest)
            logger.info("%s has sha256 %s, which it must have from now on", record.stem, digest)
    elif digest != known:
        raise ValueError(f"its sha256 is {digest}, but {known} was {since}")


def check_content(path: pathlib.Path, config: PVTConfig, any_head: bool = False) -> None:
    """Check that a file is an official checkpoint of `config`: keys, shapes, finite values.

    Args:
        path: the file.
        config: row of the variant table.
        any_head: whether the head may have any width, or be absent.
    Raises:
        ValueError: it is not.
    """
    state = read_checkpoint(path)
    shapes = {key: array.shape for key, array in state.items()}
    expected = _shapes(config)
    heads = [entry for entry in classifier_map(config, "official") if "head/" in entry.keras[0]]
    for key in {key for entry in heads for key in entry.torch} if any_head else ():
        shapes.pop(key, None)
        expected.pop(key, None)
    if shapes != expected:
        wrong = sorted({key for key, _ in shapes.items() ^ expected.items()})
        guess, other = likely_variant(state), look_alike(state)
        if other is not None:
            raise ValueError(f"this is {other.title}")
        same = guess is not None and VARIANTS[guess] == config
        raise ValueError(
            f"{len(wrong)} tensors are missing, unexpected or of another shape, such as "
            f"{wrong[0]}" + (f"; this looks like {guess}" if guess and not same else "")
        )
    for key, array in state.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{key} has values that are not finite")


def largest_file(config: PVTConfig) -> int:
    """Bytes that no official checkpoint of `config` exceeds: twice its float32 values."""
    values = sum(math.prod(shape) for shape in _shapes(config).values())
    return 8 * values + 2**20


def _shapes(config: PVTConfig) -> dict[str, tuple[int, ...]]:
    return families.named(config.family).load("shapes")(config)


def _read(record: pathlib.Path) -> str | None:
    try:
        match = re.match(r"[0-9a-f]{64}\b", record.read_text(errors="replace"))
    except FileNotFoundError:
        return None
    return match[0] if match else None


def _write(record: pathlib.Path, digest: str) -> None:
    with replacing(record) as temporary:
        temporary.write_text(f"{digest}  {record.name.removesuffix(RECORD_SUFFIX)}\n")
