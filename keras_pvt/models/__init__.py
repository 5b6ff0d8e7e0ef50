"""The models: classifiers in the manner of `keras.applications`, and the backbone."""
