"""Code shared by components: names, artifact types, blessings, parameters, lineage and the record writer."""
