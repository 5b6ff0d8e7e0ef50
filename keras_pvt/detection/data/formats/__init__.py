"""Formats of boxes other than COCO's: a module for each, which makes COCO's entries of them."""
