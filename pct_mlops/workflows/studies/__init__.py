"""Runs many trainings under one parent run: sweeps of losses, and the floor of plain retraining."""
