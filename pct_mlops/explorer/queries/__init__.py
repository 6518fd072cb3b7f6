"""Cached questions to tables and registry; pages compute nothing themselves."""
