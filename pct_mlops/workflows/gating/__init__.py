"""Judges a candidate: from two versions or files to a verdict, its reports, and the move of production."""
