"""Costs of backbones and heads, measured on the machine at hand."""
