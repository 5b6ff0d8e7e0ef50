"""The recipes of classifiers, TOML files; `keras_pvt.training.load_recipe` reads them."""
