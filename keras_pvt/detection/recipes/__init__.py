"""The recipes of detectors, TOML files; `keras_pvt.training.recipes.load` reads them."""
