"""How time and memory grow with the length of texts, the batch, K, the modalities and the data."""
