"""The recipes of segmenters, TOML files; `keras_pvt.training.recipes.load` reads them."""
