"""Cell text and the live notebook -> Definitions: what the workers need, and how each thing travels."""
