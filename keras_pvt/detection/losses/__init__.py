"""The losses of detectors."""
