"""Images with boxes: reading, augmentation, batches."""
