"""Trains recipes, and registers what they give as versions."""
