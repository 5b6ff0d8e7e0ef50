"""The page of `keras-pvt app`: what models make of images, in a browser; needs Gradio."""
