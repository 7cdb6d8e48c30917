"""Evaluation on data sets of single pictures."""
