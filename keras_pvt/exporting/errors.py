"""What goes wrong in an export."""


class ExportError(ValueError):
    """A model that cannot be exported, or an artifact that does not answer as its model."""


def reason(error: BaseException) -> str:
    """What a library says in its first line, 300 characters at most."""
    line = next(filter(None, str(error).splitlines()), type(error).__name__)
    if "error: loc(" in line:  # MLIR first tells the whole way to the operation
        line = line.rsplit("): ", 1)[-1]
    return line[:300]
