"""Names and files that components hand to each other: signatures, example features, `bundle.json`."""
