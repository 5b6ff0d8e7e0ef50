"""Where a weights file comes from: its publisher, a mirror, or a folder."""

import os
import pathlib
import urllib.parse
import urllib.request

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
    parts = urllib.parse.urlsplit(mirror)
    if parts.scheme in ("http", "https"):
        # Before the query: it may carry an access token.
        return parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl()
    if parts.scheme == "file":
        return pathlib.Path(urllib.request.url2pathname(parts.path)) / name
    if "://" in mirror:
        raise ValueError(
            f"{MIRROR_VARIABLE} must be an http(s):// or file:// URL or a folder; got {mirror!r}"
        )
    return pathlib.Path(mirror).expanduser() / name


def file_name(url: str) -> str:
    """The last part of an address."""
    return urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1]
