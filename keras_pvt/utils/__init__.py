"""Files, images, drawing and threads, for all parts of the package."""
