"""Scores of masks and models: how good, which one is better, and by how much."""
