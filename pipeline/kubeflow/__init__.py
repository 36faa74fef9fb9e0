"""Compile the pipeline for Kubeflow Pipelines and Vertex AI, and run its components in their containers."""
