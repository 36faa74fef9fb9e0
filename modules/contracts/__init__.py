"""Names and file formats that components share: signatures, example features and `bundle.json`."""
