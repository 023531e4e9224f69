"""Tables and lists that data sets are annotated in."""
