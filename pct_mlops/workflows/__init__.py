"""Brings all parts together, and is the only place that does. Jobs import torch and mlflow only when they need them."""
