"""What goes wrong in an export."""

from rich.text import Text


class ExportError(ValueError):
    """A model that cannot be exported, or an artifact that does not answer as its model."""


def reason(error: BaseException) -> str:
    """What a library says, see `one_line`."""
    return one_line(str(error)) or type(error).__name__


def one_line(message: str) -> str:
    """A message whole, on one line, without colours and without what it says again."""
    lines = Text.from_ansi(message).plain.splitlines()
    # MLIR tells the whole way to the operation, before the error and in notes of their own.
    lines = [line for line in lines if "note: loc(" not in line]
    lines = [line.rsplit("): ", 1)[-1] if "error: loc(" in line else line for line in lines]
    return " ".join(" ".join(dict.fromkeys(lines)).split())
