"""What all rooms share: files, images, pictures."""
