"""The recipes of detectors, TOML files; `keras_pvt.training.load_recipe` reads them."""
