"""Bounds on what is read from files that somebody else may have made, so that none takes all memory or never ends.

The bounds that some data may have to exceed are settings, and their defaults are here:

    data.max_pixels          pixels of an image, and by them the bytes of its file or record
    data.max_list_bytes      bytes of a list of images
    data.max_records         records of a TFRecord file, and lines of a list
    data.max_unpack_ratio    bytes that a compressed TFRecord file unpacks to, for each of its own

All others are fixed: no honest file comes near them. Sizes are in bytes, unless a name says otherwise.
"""

from __future__ import annotations

# Images.
MAX_PIXELS = 89_478_485
"""Pillow's own limit against decompression bombs."""
BYTES_PER_PIXEL = 8
"""Most bytes that an uncompressed image has for a pixel: four channels of 16 bits."""
BESIDE_PIXELS = 64 << 20
"""Previews, metadata or a short video in the file of an image."""
MAX_PROFILE = 32 << 20
"""ICC profile of an image that Pillow reads; those of printers have up to 10 MB."""
DECODE_SECONDS = 300
"""An image in the process that decodes it, twice: until its size is known, and until it has pixels."""
SMALL_PROFILE, SMALL_PROFILES, LARGE_PROFILES = 1 << 20, 32, 2
"""Number of conversions kept in memory for profiles of up to `SMALL_PROFILE`, and for larger ones."""

# Lists and records.
MAX_LIST = 256 << 20
"""Ten million lines of 27 characters."""
MAX_RECORDS = 10_000_000
MAX_UNPACK_RATIO = 100
"""JPEG and PNG hardly shrink; uncompressed drawings shrink to a thirtieth. gzip reaches a thousandth."""
FREE_UNPACKED = 16 << 20
"""What any compressed file may unpack to, whatever its size."""
RECORD_COST = 1 << 10
"""What a record counts for at least, so that a small file cannot unpack to millions of empty ones."""
MAX_VALUE_CHARACTERS = 1 << 16
"""One value of a Parquet list; paths on Linux have at most 4,096 bytes."""
PARQUET_MEMORY = 2 << 30
"""Address space of the process that reads Parquet, in addition to the file; pyarrow alone reserves a fifth of it."""
PARQUET_CPU_SECONDS = 600

MAX_FINGERPRINTED = 256 << 20
"""File whose content counts in the fingerprint of the data, where another has the same size and time."""
SEEN_BITS = 1 << 27
"""Memory, in bits, of the sizes and times that were seen; with ten million files, a fourteenth is read in vain."""

# Bundles and models.
MAX_BUNDLE_FILES, MAX_BUNDLE_DEPTH = 1000, 8
MAX_BUNDLE = 4 << 30
MAX_MODEL = 1 << 30
"""One file of a bundle: half the maximum size of a flatbuffer."""
MAX_TEXT = 16 << 20
"""A file that is parsed, such as `bundle.json`, and a list of class names: a hundred thousand take a tenth of it."""
MODEL_MEMORY = 8 << 30
"""Address space of a process that runs a model, most of which a model never touches."""
MODEL_SECONDS = 300
"""Loading a model, each answer of it, and all of a probe."""
MAX_IMAGE_SIZE = 4096
"""Height and width of a model's input, in pixels."""

# Weights.
MAX_WEIGHTS = 4 << 30
"""A file of weights; the largest backbone has 0.5 GB."""
MAX_CHUNK = 16 << 20
"""Chunk of an HDF5 dataset that is larger than the dataset: HDF5 unpacks all of it."""

# Configuration.
MAX_CONFIGURATION = 1 << 20
MAX_SPECIFICATION = 64 << 20
"""A compiled pipeline."""


def max_file_bytes(max_pixels: int) -> int:
    """Return the size of the largest file that can hold an image of `max_pixels`, in bytes."""
    return max_pixels * BYTES_PER_PIXEL + BESIDE_PIXELS


def decoder_bytes(max_pixels: int) -> int:
    """Return the memory of a process that decodes images of `max_pixels`, beyond what it has from the start, in bytes.

    It holds the file twice, and up to six copies of the pixels with four bytes each; threads of codecs have stacks.
    """
    return 2 * max_file_bytes(max_pixels) + 24 * max_pixels + (512 << 20)
