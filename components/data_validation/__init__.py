"""TFX's StatisticsGen and ExampleValidator, keyed by the versions of their libraries."""
