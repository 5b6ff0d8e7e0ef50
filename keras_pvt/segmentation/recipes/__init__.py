"""The recipes of segmenters, TOML files; `keras_pvt.training.load_recipe` reads them."""
