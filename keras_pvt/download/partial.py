"""The part of a file that an earlier transfer left, and whether it may be continued."""

import contextlib
import json
import pathlib
import re

import requests

from keras_pvt.download.secrets import redacted
from keras_pvt.utils.files import replacing


class PartialDownload:
    """A part of the file at `url`, with a note beside it of which file it is a part of.

    The note has the address without its query and password, which change while the file does not.

    Args:
        path: of the part; the note's name ends in ".json".
        url: address of the whole file.
    """

    def __init__(self, path: pathlib.Path, url: str):
        self.path = path
        self.url = url
        self._note = path.with_name(f"{path.name}.json")
        self.validator: str | None = None
        self.total: int | None = None  # bytes of the whole file
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(self._note.read_text())
            if note["url"] == redacted(url):
                self.validator, self.total = note["validator"], note["total"]

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def headers(self) -> dict[str, str]:
        """Request headers that ask for the rest; none where the file must start over."""
        if self.validator is None or self.total is None or not 0 < self.size < self.total:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self.validator}

    def continued_by(self, response: requests.Response) -> bool:
        """Whether a partial answer (206) begins where the part ends, in the same file."""
        content_range = response.headers.get("Content-Range", "")
        return (
            re.fullmatch(rf"bytes {self.size}-\d+/{self.total}", content_range) is not None
            and validator(response) == self.validator
        )

    def restart(self, validator: str | None, total: int | None) -> None:
        """Begin anew, with what a server says of the whole file."""
        self.discard()
        self.validator, self.total = validator, total
        note = {"url": redacted(self.url), "validator": validator, "total": total}
        with replacing(self._note) as temporary:
            temporary.write_text(json.dumps(note))

    def discard(self) -> None:
        """Remove the part and its note."""
        self.path.unlink(missing_ok=True)
        self.finish()

    def finish(self) -> None:
        """Remove the note: the part is whole, or gone."""
        self._note.unlink(missing_ok=True)
        self.validator = self.total = None


def validator(response: requests.Response) -> str | None:
    """What tells one version of a file from the next: strong ETag, else the date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")
