"""Export of models to formats that run without Keras; see `export`."""

from keras_pvt.exporting.errors import ExportError
from keras_pvt.exporting.export import Exported, export

__all__ = ["ExportError", "Exported", "export"]
