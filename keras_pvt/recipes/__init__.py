"""Recipes: what a training run is made of, as files that people read, and as flags.

Standard library only, but for the tables of this package that are so too: the help of
`keras-pvt train` and `--show` need no Keras.
"""
