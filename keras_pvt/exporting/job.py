"""What a writer is asked for."""

import dataclasses
import os
import pathlib

from keras_pvt.exporting.subject import Shape


@dataclasses.dataclass(frozen=True)
class Job:
    """What to write, and where.

    Args:
        format: name of the format, and of the writer's function.
        path: of the artifact.
        shape: of the input, None for what is open.
        quantize: see `keras_pvt.export`.
        opset: see `keras_pvt.export`.
    """

    format: str
    path: pathlib.Path
    shape: Shape
    quantize: str | None = None
    opset: int | None = None

    def plain(self, path: str | os.PathLike, format: str | None = None) -> "Job":
        """The same at another place, perhaps in another format, with nothing quantized."""
        return dataclasses.replace(
            self, path=pathlib.Path(path), format=format or self.format, quantize=None
        )
