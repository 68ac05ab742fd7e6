"""What a model makes of one text: prototypes, weights, scene graph, and predictions with and without modalities."""
