"""Images with boxes: reading, augmentation and batches."""
