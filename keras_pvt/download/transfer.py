"""One file over HTTP, continued where a transfer broke off."""

import logging
import pathlib
import time

import requests
from requests.adapters import HTTPAdapter
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from urllib3.util import Retry

from keras_pvt.download.partial import PartialDownload, validator
from keras_pvt.download.secrets import discreet, redacted_text


class ByteProgress:
    """A bar on stderr, shown only on a terminal.

    Args:
        label: what is fetched.
    """

    def __init__(self, label: str):
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(label, total=None)

    def __enter__(self) -> "ByteProgress":
        self._progress.start()
        return self

    def __exit__(self, *exception) -> None:
        self._progress.stop()

    def update(self, done: int, total: int | None) -> None:
        """Show `done` of `total` bytes; None where the total is not known."""
        self._progress.update(self._task, completed=done, total=total)


logger = logging.getLogger("keras_pvt")

TIMEOUT = (6.0, 30.0)  # seconds to connect, and between two reads
ATTEMPTS = 6  # transfers that may break off before the download fails
BACKOFF = 0.5  # seconds; doubles with each attempt
CHUNK = 1 << 16  # bytes
# Loggers that tell addresses, and of each attempt that failed.
TELLERS = ("urllib3.connectionpool", "urllib3.util.retry")


class TransferError(OSError):
    """No file came; says why, without what is secret in an address."""


class BrokenOff(TransferError):
    """A transfer that ended early; it may go on from what is there."""


def download(url: str, path: pathlib.Path, limit: int) -> None:
    """Bring the file at `url` to `path`, where a part of it may lie already.

    A part is continued only if the server shows that the file is still the same.

    Args:
        url: HTTP address.
        path: of the part, which is whole when this returns; it stays if this raises OSError.
        limit: bytes; more cannot be the right file.
    Raises:
        TransferError: no connection, an HTTP error, or too many transfers broke off.
        OSError: the part cannot be written.
        ValueError: the file is larger than `limit`.
    """
    partial = PartialDownload(path, url)
    with _session() as session, discreet(TELLERS, url), ByteProgress(path.stem) as progress:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _transfer(session, partial, limit, progress)
                break
            except BrokenOff as error:
                if attempt == ATTEMPTS:
                    raise
                logger.info("%s; attempt %d of %d follows", error, attempt + 1, ATTEMPTS)
                time.sleep(BACKOFF * 2 ** (attempt - 1))
            except requests.RequestException as error:
                # Its words, and those of what caused it, have the address.
                text = redacted_text(str(error), url)
                raise TransferError(f"{type(error).__name__}: {text}") from None
            except ValueError:
                partial.discard()
                raise
    partial.finish()


def _session() -> requests.Session:
    """A session that retries until an answer begins; what breaks off later is ours."""
    retry = Retry(
        total=ATTEMPTS,
        connect=2,  # whoever is offline should not wait long
        backoff_factor=BACKOFF,
        status_forcelist=(429, 500, 502, 503, 504),
        raise_on_status=False,
        respect_retry_after_header=False,  # it may ask for hours
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _transfer(
    session: requests.Session, partial: PartialDownload, limit: int, progress: ByteProgress
) -> None:
    """One request: the rest of the file if there is a part, else all of it."""
    headers = {"Accept-Encoding": "identity", **partial.headers()}
    with session.get(partial.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code in (206, 416) and not partial.continued_by(response):
            partial.discard()
            raise BrokenOff("the server does not continue the part that is there")
        response.raise_for_status()
        if response.status_code != 206:
            partial.restart(validator(response), _length(response))
        total = partial.total
        if total is not None and total > limit:
            raise ValueError(f"it has {total:,} bytes, where at most {limit:,} were expected")
        with partial.path.open("ab") as file:
            progress.update(file.tell(), total)
            try:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    progress.update(file.tell(), total)
                    if file.tell() > limit:
                        raise ValueError(f"it has more than the {limit:,} bytes expected")
            except requests.RequestException as error:
                text = redacted_text(str(error), partial.url)
                raise BrokenOff(f"broke off at {file.tell():,} bytes: {text}") from None
            if total is not None and file.tell() != total:  # urllib3 1 does not check
                raise BrokenOff(f"broke off at {file.tell():,} of {total:,} bytes")


def _length(response: requests.Response) -> int | None:
    """Bytes of the whole body; None where the server does not tell."""
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    length = response.headers.get("Content-Length")
    return None if encoded or length is None else int(length)
