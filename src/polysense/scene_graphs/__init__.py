"""Scene graphs of texts: entities, attributes and relations, parsed with spaCy and stored."""
