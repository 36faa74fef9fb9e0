"""Transform: TFX's Transform with an executor made for images."""

from edgetune.components.transform.component import Transform as Transform
