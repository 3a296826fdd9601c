"""Random behaviors do the same compiled and in NumPy, or fall back and say so; see `behavior_grammar.py`."""
