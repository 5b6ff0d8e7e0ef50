"""Classification of images: training, prediction, attention maps."""
