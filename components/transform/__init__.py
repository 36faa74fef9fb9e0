"""Transform: TFX's, made for images."""

from components.transform.component import Transform as Transform
