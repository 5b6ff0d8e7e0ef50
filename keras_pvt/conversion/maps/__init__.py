"""The key maps: which checkpoint key belongs to which Keras variable; a file a system."""
