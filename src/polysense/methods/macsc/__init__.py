"""MaCSC: conceptual prototypes and self-balancing calibration (Zhuang et al., NAACL 2024).

| equation | where |
| --- | --- |
| 1, prototypes | `polysense.prototypes.selection.top_k` |
| 2-3, semantic concept enhancement | `enhancement.CrossModalAttention` |
| 4-5, fine-grained allocation | `allocation.debiased_prediction`, `allocation.allocation_scores` |
| 6, coarse-grained allocation | `allocation.CoarseAllocation` |
| 7-9, contrast between two modalities | `contrast.pair_contrast` |
| 10-12, weighted aggregation | `fusion.LateFusion` |
| 13, multi-scale self-balancing loss | `contrast.SelfBalancingContrast` |
| 14, total objective | `polysense.models.sequence_classification` |
"""
