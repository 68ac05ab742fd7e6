"""Timings beside their references; `make bench` runs them all."""
