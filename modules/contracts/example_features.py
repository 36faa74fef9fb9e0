"""Features of the examples that the pipeline writes, and the names of the splits.

There are two kinds of examples:

    raw          image bytes (JPEG or PNG) · label bytes (class name) · source · image_id · split_group ·
                 duplicate_group · plain, and values for statistics: width · height · aspect · bytes · red · green ·
                 blue · contrast · sharpness · brightest · darkest · grey_below
    transformed  image bytes (pixels, as `modules.examples.pixel_packing` packs them) · label_index int64
                 (index into labels.txt)

The transformed label has its own name: if it were `label` too, TFMA would slice by the index, not by the class name.
"""

from __future__ import annotations

IMAGE, LABEL, LABEL_INDEX = "image", "label", "label_index"
SOURCE, IMAGE_ID, SPLIT_GROUP, DUPLICATE_GROUP = "source", "image_id", "split_group", "duplicate_group"
"""File; digest of the pixels; smallest digest of the images that no split may separate, and of the near-duplicates."""
PLAIN = "plain"
"""1 if a decoder alone reads the image as the exported graph does, and ingest has found it whole; else 0."""
WIDTH, HEIGHT, BYTES = "width", "height", "bytes"
ASPECT, RED, GREEN, BLUE = "aspect", "red", "green", "blue"
"""Width divided by height; means of the channels, 0..255."""
CONTRAST, SHARPNESS, BRIGHTEST, DARKEST, GREY_BELOW = "contrast", "sharpness", "brightest", "darkest", "grey_below"
"""Facts about the picture (`modules.images.picture_facts.PictureFacts`)."""
SPLITS = ("train", "eval", "test")
