"""What a checkpoint can be refused with."""


class CheckpointError(ValueError):
    """A checkpoint file that cannot be read, or does not fit the model; says which and why."""
