"""Small modules, one concept each, that the lessons import."""
