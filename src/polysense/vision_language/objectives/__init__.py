"""What CMAL and its baseline are pre-trained on."""
