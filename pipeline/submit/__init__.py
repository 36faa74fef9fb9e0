"""Submit a compiled pipeline to Kubeflow Pipelines or Vertex AI, and wait for it."""
