"""Files of repositories on a hub: fetched by `huggingface_hub` into its own cache."""

import contextlib
import hashlib
import logging
import os
import pathlib
import re
import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from keras_pvt.conversion.beside import FILES, LARGEST
from keras_pvt.conversion.readers.mapped import CheckpointError
from keras_pvt.conversion.readers.shards import LISTS, names_in
from keras_pvt.download.cache import DownloadError
from keras_pvt.download.hub_names import HubName, weights_file
from keras_pvt.download.secrets import HIDDEN, discreet, redacted, redacted_text
from keras_pvt.utils.extras import needed_for

logger = logging.getLogger("keras_pvt")

Answer = TypeVar("Answer")

LARGEST_WEIGHTS = 8 << 30  # bytes; the largest model with the state of its optimizer has 1.3
ATTEMPTS = 3  # to ask a server that is down for its list, and to find one that stays as it is
BACKOFF = 0.5  # seconds; doubles with each attempt
CHUNK = 1 << 20  # bytes
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
# Loggers that tell addresses, and of each attempt that failed.
TELLERS = (
    "huggingface_hub.file_download",
    "huggingface_hub.utils._http",
    "httpx",
    "httpx2",
    *(f"httpcore{n}.{name}" for n in ("", "2") for name in ("connection", "http11", "http2")),
)


def fetch(name: str) -> pathlib.Path:
    """The weights in a repository on a hub, with what tells of them beside them.

    They come by `huggingface_hub`: HF_ENDPOINT names a mirror, HF_HOME and HF_HUB_CACHE the cache,
    HF_TOKEN or `hf auth login` who asks. With HF_HUB_OFFLINE=1, or where the hub cannot be reached,
    what is in the cache is used. A file that comes anew must have the hash that the hub lists.

    Args:
        name: hf://OWNER/NAME, hf://OWNER/NAME@REVISION, or either with /FILE.
    Returns:
        Path of the file in the cache.
    Raises:
        ValueError: the name is none.
        DownloadError: no such repository, revision or file; no access; no connection and nothing
            in the cache; a cache that cannot be written; a file that is not what is listed.
        ImportError: `huggingface_hub` is not installed.
    """
    hub = HubName.parse(name)
    with needed_for(name, "hub"):
        from huggingface_hub import constants
    with discreet(TELLERS, constants.ENDPOINT):
        try:
            return _fetch(hub)
        except ValueError as error:
            raise DownloadError(str(error)) from None


def _fetch(hub: HubName) -> pathlib.Path:
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    for attempt in range(ATTEMPTS):
        try:
            info = _listing(hub)
        except DownloadError:
            raise
        except HfHubHTTPError as error:
            if not _is_down(error):
                _refuse(hub, error)
            return _cached(hub, _words(error))
        except (OSError, HTTPError) as error:
            return _cached(hub, _words(error))
        listed = {one.rfilename: one for one in info.siblings or ()}
        file = weights_file(list(listed), hub, hub.repository)
        known = attempt == 0 and _is_cached(hub, file, info.sha)
        path = _download(hub, listed[file], LARGEST_WEIGHTS, hub.revision)
        folder = file.rpartition("/")[0]
        # It came by the name of its revision, for the cache to know what that stands for.
        if path.parents[file.count("/")].name == info.sha:
            _check(hub, path, listed[file], known)
            wanted = dict.fromkeys(FILES, LARGEST) | dict.fromkeys(_shards(path), LARGEST_WEIGHTS)
            for name, limit in wanted.items():
                beside = f"{folder}/{name}" if folder else name
                if beside in listed:  # a shard that is not, the reader of the list misses
                    known = _is_cached(hub, beside, info.sha)
                    there = _download(hub, listed[beside], limit, info.sha)
                    _check(hub, there, listed[beside], known)
            return path
    raise DownloadError(
        f"{hub} changes while it is fetched; name a commit, hf://OWNER/NAME@COMMIT."
    )


def _shards(path: pathlib.Path) -> list[str]:
    """Names of the files that a list of shards names; none, where a file is no such list."""
    if not path.name.endswith(LISTS):
        return []
    try:
        return names_in(path.read_bytes())
    except CheckpointError as error:
        raise ValueError(f"{path}: {error}.") from None


def _listing(hub: HubName) -> Any:
    """The commit of a revision and its files."""
    from huggingface_hub import HfApi

    api = HfApi(library_name="keras_pvt")
    try:
        return _patiently(
            lambda: api.model_info(hub.repository, revision=hub.revision, files_metadata=True)
        )
    except (KeyError, TypeError, ValueError):
        raise DownloadError(
            f"{_endpoint()} does not answer as a hub does; check HF_ENDPOINT and the network."
        ) from None


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """An answer of a hub, asked again where it is down, as its client does for a few requests."""
    from huggingface_hub.errors import HfHubHTTPError

    for attempt in range(ATTEMPTS - 1):
        try:
            return ask()
        except HfHubHTTPError as error:
            if not _is_down(error):
                raise
        time.sleep(BACKOFF * 2**attempt)
    return ask()


def _is_cached(hub: HubName, file: str, commit: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(hub.repository, file, revision=commit), str)


def _download(hub: HubName, listed: Any, limit: int, revision: str | None) -> pathlib.Path:
    """One file, from the cache or the hub."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError

    file, size = listed.rfilename, listed.size
    if size is not None and size > limit:
        raise ValueError(f"{hub}: {file} has {size:,} bytes, where at most {limit:,} are read.")
    try:
        return pathlib.Path(
            _patiently(
                lambda: hf_hub_download(
                    hub.repository, file, revision=revision, library_name="keras_pvt"
                )
            )
        )
    except (OSError, HTTPError) as error:
        _refuse(hub, error, file)


def _check(hub: HubName, path: pathlib.Path, listed: Any, known: bool) -> None:
    """Raise ValueError for a file that came anew and is not what is listed, and remove it."""
    if known or _is_listed(path, listed):
        return
    for copy in (path.resolve(), path):
        with contextlib.suppress(OSError):
            copy.unlink()
    raise ValueError(
        f"{hub}: what came as {listed.rfilename} has another hash than is listed; try again."
    )


def _is_listed(path: pathlib.Path, listed: Any) -> bool:
    """Whether a file has the hash that the repository lists, by the kind of it that is there."""
    if listed.lfs is not None:
        digest, expected = hashlib.sha256(), listed.lfs.sha256
    elif listed.blob_id is not None:
        digest, expected = hashlib.sha1(usedforsecurity=False), listed.blob_id
        digest.update(f"blob {path.stat().st_size}\0".encode())
    else:  # a mirror that does not tell
        return True
    with path.open("rb") as content:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == expected


def _cached(hub: HubName, reason: str) -> pathlib.Path:
    """The file in the cache, where the hub cannot be asked."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HTTPError

    try:
        folder = pathlib.Path(
            snapshot_download(
                hub.repository,
                revision=hub.revision,
                local_files_only=True,
                allow_patterns=[],  # whatever of it is there
            )
        )
        files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        file = weights_file([path.as_posix() for path in files], hub, f"the cache of {hub}")
    except (OSError, HTTPError, ValueError) as error:
        inside = f" {error}" if isinstance(error, ValueError) else ""
        raise DownloadError(
            f"{hub} is not in the cache {constants.HF_HUB_CACHE}, and {_endpoint()} was not "
            f"reached: {reason}.{inside} Fetch it where there is a network, by `hf download "
            f"{hub.repository}`, or name a mirror by HF_ENDPOINT."
        ) from None
    if not constants.HF_HUB_OFFLINE:
        logger.warning("%s: the copy in the cache is used: %s", hub, reason)
    return folder / file


def _refuse(hub: HubName, error: Exception, file: str | None = None) -> NoReturn:
    """Raise a DownloadError that says what a hub's client has met, and what to do."""
    from huggingface_hub import constants, errors

    place, login = f"{_endpoint()}/{hub.repository}", "log in by `hf auth login`, or set HF_TOKEN"
    status = _status(error)
    if isinstance(error, errors.GatedRepoError):
        said = f"{hub} is gated: ask for access at {place}, then {login}."
    elif isinstance(error, errors.RevisionNotFoundError):
        said = f"{hub.repository} has no revision {hub.revision!r}; its branches are at {place}."
    elif isinstance(error, errors.RepositoryNotFoundError):
        said = f"there is no {place} that you may see; check the name; if it is private, {login}."
    elif status in (401, 403):
        said = f"{_endpoint()} does not let you read {hub} ({status}): {login}."
    elif isinstance(error, PermissionError) or (status is None and getattr(error, "errno", None)):
        said = (
            f"{hub} cannot be put into the cache {constants.HF_HUB_CACHE}: {_words(error)}; "
            "HF_HOME moves it."
        )
    else:
        what = f"{file} of {hub}" if file else str(hub)
        said = f"cannot get {what} from {_endpoint()}: {_words(error)}."
    raise DownloadError(said) from None


def _is_down(error: Exception) -> bool:
    """Whether a server could not answer, and may do so later."""
    return (_status(error) or 0) >= 500 or _status(error) == 429


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _endpoint() -> str:
    """Address of the hub, as messages may have it."""
    from huggingface_hub import constants

    return redacted(constants.ENDPOINT)


def _words(error: BaseException) -> str:
    """What a client says was wrong, on a line and without what is secret."""
    from huggingface_hub import constants

    while _is_general(error) and error.__cause__ is not None:
        error = error.__cause__
    text = redacted_text(str(error), constants.ENDPOINT)
    for token in {os.environ.get("HF_TOKEN", ""), *TOKEN.findall(text)} - {""}:
        text = text.replace(token, HIDDEN)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def _is_general(error: BaseException) -> bool:
    """Whether an error is but of the client's cache, and what caused it says more."""
    return type(error).__name__ == "LocalEntryNotFoundError"
