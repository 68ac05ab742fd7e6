"""CMAL: vision-language pre-training by cross-modal association at anchor points, and its downstream tasks."""
