"""A package of the notebook's own."""
