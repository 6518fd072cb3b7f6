"""Advises which update to train for which change: a table of measured updates, and the history of a model."""
