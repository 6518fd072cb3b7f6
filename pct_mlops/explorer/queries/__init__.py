"""Cached queries of tables and registry, so that pages compute nothing themselves."""
