"""What several components share: artifact types, blessings, parameters, lineage, record writer."""
