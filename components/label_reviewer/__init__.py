"""LabelReviewer: finds labels that are probably wrong."""

from edgetune.components.label_reviewer.component import LabelReviewer as LabelReviewer
