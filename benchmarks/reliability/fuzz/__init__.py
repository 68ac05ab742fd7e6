"""Damaged files, read as a user reads them."""
