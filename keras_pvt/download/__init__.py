"""Published weight files: fetched once, verified, kept in the Keras cache folder."""

from keras_pvt.download.cache import DownloadError, fetch

__all__ = ["DownloadError", "fetch"]
