"""Training aligned towers: pairs of captions and real things, their features, the contrast, and held-out retrieval."""
