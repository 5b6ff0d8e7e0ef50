"""Addresses without what is secret in them, for messages and for files."""

import contextlib
import logging
import re
import urllib.parse
from collections.abc import Iterable, Iterator

HIDDEN = "***"
# In the words of others, such as those of an error: "user:password@" before a host, and a query.
_LOGIN = re.compile(r"(?<=//)[^/\s@]+@")
_QUERY = re.compile(r"\?[^\s'\"<>)\],]+")


def redacted(address: str) -> str:
    """An address without user, password, query and fragment, which may hold a token.

    Args:
        address: a URL, or the path of a folder, which stays as it is.
    """
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError:  # it is no URL, as with [ before its host; a secret may be in it
        return _hidden(address)
    if not parts.netloc:
        return address
    host = parts.netloc.rpartition("@")
    netloc = f"{HIDDEN}@{host[2]}" if host[1] else parts.netloc
    query = HIDDEN if parts.query else ""
    return parts._replace(netloc=netloc, query=query, fragment="").geturl()


def redacted_text(text: str, address: str) -> str:
    """What others say of an address, or of one that it leads to, without what is secret.

    Args:
        text: of an error or a log.
        address: that was asked for.
    """
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError:
        return _hidden(text)
    login, *_ = parts.netloc.rpartition("@")
    secrets = {parts.query, parts.fragment, login, login.partition(":")[2]}
    spelt = {urllib.parse.unquote(one) for one in secrets}
    spelt |= {urllib.parse.quote(one, safe="%/:=&?~#+!$,;'@()*[]") for one in secrets} | secrets
    for secret in sorted(spelt - {""}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _hidden(text)


def _hidden(text: str) -> str:
    """A text without what looks like a login or a query in it."""
    return _QUERY.sub(f"?{HIDDEN}", _LOGIN.sub(f"{HIDDEN}@", text))


@contextlib.contextmanager
def discreet(names: Iterable[str], address: str) -> Iterator[None]:
    """Keep loggers from warning of each attempt, as the error tells it if none succeeds, and from
    telling whoever listens the secrets of an address.

    Args:
        names: of the loggers of a library that fetches.
        address: that is asked for.
    """
    logs = [logging.getLogger(name) for name in names]

    def keep(record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted_text(record.getMessage(), address), ()
        return record.levelno != logging.WARNING

    for log in logs:
        log.addFilter(keep)
    try:
        yield
    finally:
        for log in logs:
            log.removeFilter(keep)
