"""What detectors learn from."""
