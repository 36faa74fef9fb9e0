"""What the header of a JPEG or PNG says, in the same terms for both."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Header(NamedTuple):
    """Scalars from the header of a file."""

    fault: tf.Tensor
    """string: why the file is refused, as the end of a sentence that begins with the image; else empty."""
    height: tf.Tensor
    """int32: pixels, as stored."""
    width: tf.Tensor
    """int32: pixels, as stored."""
    channels: tf.Tensor
    """int32: 1 for grey, 3 for colour, 4 for CMYK."""
    is_deep: tf.Tensor
    """bool: 16 bits a channel."""
    has_alpha: tf.Tensor
    """bool: an alpha channel, or transparent colours."""
    exif: tf.Tensor
    """string: a TIFF header with its directories; else empty."""
    xmp: tf.Tensor
    """string: an XMP packet; else empty."""
    profile: tf.Tensor
    """string: an ICC profile; else empty."""
