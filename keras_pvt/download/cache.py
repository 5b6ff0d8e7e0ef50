"""The cache of weight files: one verified copy of each, and where it comes from."""

import logging
import os
import pathlib
import re
import shutil
import urllib.parse
import urllib.request

from keras_pvt.download.secrets import redacted
from keras_pvt.download.verification import RECORD_SUFFIX, largest_file, verify
from keras_pvt.utils.files import put_in_place
from keras_pvt.variants import VARIANTS, WEIGHTS, PVTConfig

logger = logging.getLogger("keras_pvt")

MIRROR_VARIABLE = "KERAS_PVT_WEIGHTS_URL"


def locate(url: str) -> str | pathlib.Path:
    """The address to fetch instead of `url`, if the environment names a mirror.

    Args:
        url: the publisher's address; its last part is the file's name anywhere.
    Returns:
        An HTTP address, or the path of a local file (which may not exist).
    Raises:
        ValueError: the variable holds an address that is neither HTTP nor a local folder.
    """
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return url
    name = file_name(url)
    try:
        parts = urllib.parse.urlsplit(mirror)
    except ValueError:  # which tells all of it
        raise ValueError(f"{MIRROR_VARIABLE} holds an address that cannot be read") from None
    if re.match(r"[^/\\]+:[^/\\]*@", mirror):
        raise ValueError(f"{MIRROR_VARIABLE} has a user and a password, but no http:// or https://")
    if parts.scheme in ("http", "https"):
        # Before the query: it may carry an access token.
        return parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl()
    if parts.scheme == "file":
        return pathlib.Path(urllib.request.url2pathname(parts.path)) / name
    if "://" in mirror:
        raise ValueError(
            f"{MIRROR_VARIABLE} must be an http(s):// or file:// URL or a folder; got "
            f"{redacted(mirror)!r}"
        )
    return pathlib.Path(mirror).expanduser() / name


def file_name(url: str) -> str:
    """The last part of an address."""
    return urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1]


class DownloadError(OSError):
    """A weights file cannot be downloaded; the message says where to put one by hand."""


def fetch(variant: str, weights: str = "imagenet") -> pathlib.Path:
    """The verified local file of published weights, fetched at first use.

    It is kept under "models/keras_pvt" in the folder that KERAS_HOME names, else in
    "~/.keras". KERAS_PVT_WEIGHTS_URL may name a mirror (base URL) or a folder to take files
    from. Processes that start together fetch once.

    Args:
        variant: a name from `keras_pvt.list_variants()`.
        weights: name of published weights of this variant.
    Returns:
        Path of the file; its folder may be read-only.
    Raises:
        ValueError: no file is published under these names.
        DownloadError: the file cannot be fetched, or is not these weights.
    """
    published = WEIGHTS.get((variant, weights))
    if published is None or published.url is None:
        names = ", ".join(f"{v} ({w})" for (v, w), row in WEIGHTS.items() if row.url)
        raise ValueError(f"no weights file of {variant} ({weights}) is published; only {names}.")
    path, any_head = folder() / file_name(published.url), published.classes is None
    entry = CachedFile(path, published.sha256, VARIANTS[variant], any_head)
    problem = entry.problem()
    if problem is None:
        return entry.path
    origin = locate(published.url)
    try:
        entry.fill(origin)
    except (OSError, ValueError) as error:
        there = f" The file there is not usable: {problem}." if entry.path.exists() else ""
        bundled = ", ".join(f"{v} ({w})" for (v, w), row in WEIGHTS.items() if row.url is None)
        raise DownloadError(
            f"cannot get {entry.path.name} from {redacted(str(origin))}: {error}. Put the file "
            f"into {entry.path.parent} by hand, or set {MIRROR_VARIABLE} to a folder or a base URL "
            f"that has it; KERAS_HOME moves the cache. Without a network there is what comes with "
            f"the package: {bundled}.{there}"
        ) from error
    return entry.path


def folder() -> pathlib.Path:
    """The folder of the cache."""
    home = os.environ.get("KERAS_HOME") or pathlib.Path("~", ".keras")
    return pathlib.Path(home).expanduser() / "models" / "keras_pvt"


class CachedFile:
    """One file of the cache.

    Args:
        path: of the file; the hash, the lock and the part lie beside it.
        sha256: published hash, or None.
        config: row of the variant table that the weights must fit.
        any_head: whether the head may have any width, or be absent.
    """

    def __init__(
        self, path: pathlib.Path, sha256: str | None, config: PVTConfig, any_head: bool = False
    ):
        self.path = path
        self._sha256 = sha256
        self._config = config
        self._any_head = any_head

    def problem(self) -> str | None:
        """Why the file cannot be used; None if it can."""
        try:
            self._verify(self.path)
        except FileNotFoundError:
            return "not there"
        except (OSError, ValueError) as error:
            return str(error)
        return None

    def fill(self, origin: str | pathlib.Path) -> None:
        """Fetch the file, unless another process does so first.

        Raises:
            OSError: nothing came, or the folder cannot be written.
            ValueError: something else came than these weights.
        """
        from filelock import FileLock

        from keras_pvt.download.transfer import download

        self.path.parent.mkdir(parents=True, exist_ok=True)
        # The system drops the lock of a process that dies.
        with FileLock(self._beside(".lock")):
            problem = self.problem()
            if problem is None:
                return
            if self.path.exists():
                logger.warning("%s is not usable and is fetched again: %s", self.path, problem)
            part = self._beside(".copy" if isinstance(origin, pathlib.Path) else ".part")
            try:
                if isinstance(origin, pathlib.Path):
                    shutil.copyfile(origin, part)
                else:
                    logger.info("fetching %s to %s", redacted(origin), self.path)
                    download(origin, part, limit=largest_file(self._config))
                self._verify(part)
            except ValueError:
                part.unlink(missing_ok=True)
                raise
            put_in_place(part, self.path)

    def _verify(self, path: pathlib.Path) -> None:
        record = self._beside(RECORD_SUFFIX)
        verify(path, record, self._sha256, self._config, self._any_head)

    def _beside(self, suffix: str) -> pathlib.Path:
        return self.path.with_name(self.path.name + suffix)
