"""From pictures to regions: detectors, the features of a region's crop, and files of regions."""
