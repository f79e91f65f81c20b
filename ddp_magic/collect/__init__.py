"""Cell text and live notebook -> Definitions: what the workers need, how each thing travels."""
