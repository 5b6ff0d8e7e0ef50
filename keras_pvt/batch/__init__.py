"""Prediction over millions of images, which goes on where it stopped."""

from keras_pvt.batch.job import Job, Summary

__all__ = ["Job", "Summary"]
