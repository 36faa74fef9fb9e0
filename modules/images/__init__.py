"""From image files to upright sRGB pixels: file headers, colour profiles, the decoder and the perceptual hash."""
