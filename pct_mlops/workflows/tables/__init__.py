"""Prediction tables: score, compare, and updates that need no training."""
