"""The segmenters of the paper."""
