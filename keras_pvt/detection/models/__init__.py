"""The detectors of the paper."""
