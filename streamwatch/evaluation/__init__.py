"""Offline evaluation: data sets, figures in bounded memory, reports."""
