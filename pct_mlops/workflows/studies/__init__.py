"""Many trainings under one run: sweeps of losses, and the floor of plain retraining."""
