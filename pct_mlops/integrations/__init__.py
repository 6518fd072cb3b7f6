"""Connects the package to other programs."""
