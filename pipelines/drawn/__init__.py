"""Films that are drawn, for whoever has none at hand."""
