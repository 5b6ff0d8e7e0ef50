"""What goes wrong in an export."""


class ExportError(ValueError):
    """A model that cannot be exported, or an artifact that does not answer as its model."""
