"""Transform: TFX's, made for images."""

from edgetune.components.transform.component import Transform as Transform
