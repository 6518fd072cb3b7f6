"""Works on prediction tables: scores, compares, and makes updates that need no training."""
