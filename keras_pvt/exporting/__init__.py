"""Export of models to formats that run without Keras; see `export`."""

from keras_pvt.exporting.errors import ExportError
from keras_pvt.exporting.export import Exported, export
from keras_pvt.exporting.names import class_names

__all__ = ["ExportError", "Exported", "class_names", "export"]
