"""CrossValidator: answers to all images by heads that have not seen them."""

from edgetune.components.cross_validator.component import CrossValidator as CrossValidator
