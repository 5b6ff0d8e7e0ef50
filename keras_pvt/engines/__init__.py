"""Engines: runtimes of exported artifacts, which compute in place of Keras.

`keras_pvt.Predictor` and the option --engine use them. Nothing here imports Keras at its top: where
the artifact of a model is in the cache, nothing else is needed.
"""
