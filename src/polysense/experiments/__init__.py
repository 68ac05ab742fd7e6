"""Comparisons of methods over tasks and seeds, and the demonstration."""
