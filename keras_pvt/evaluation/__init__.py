"""What a model is worth on a data set: numbers, a confusion matrix, the worst images."""

from keras_pvt.evaluation.evaluate import evaluate
from keras_pvt.evaluation.report import Report, Worst

__all__ = ["Report", "Worst", "evaluate"]
