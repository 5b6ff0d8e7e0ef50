"""Images with labels: reading, augmentation, batches."""
