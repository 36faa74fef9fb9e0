"""Bytes of a photograph to upright sRGB pixels: the one decoder, headers, colour profiles, perceptual hash."""
