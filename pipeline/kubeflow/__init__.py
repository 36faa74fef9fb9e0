"""Compile for Kubeflow Pipelines and Vertex AI, and what runs inside their containers."""
