"""Where images come from: each kind of source lists its images, and none is read for it."""
