"""Evaluations: steps that score models, compare scores and decide."""
