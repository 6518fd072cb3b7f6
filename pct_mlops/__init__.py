"""Positive-congruent training for MLflow: train classifiers that flip less, gate those that flip too much."""

import logging

__version__ = "0.1.0"

# Silent until a program says where lines go, as the command line does.
logging.getLogger(__name__).addHandler(logging.NullHandler())
