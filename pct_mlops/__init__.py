"""Positive-congruent training for MLflow: train classifiers that flip less, gate those that flip too much."""

__version__ = "0.1.0"
