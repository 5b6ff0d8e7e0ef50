"""Images with labels: reading, augmentation and batches."""
