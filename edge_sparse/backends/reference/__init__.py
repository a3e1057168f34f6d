"""The NumPy backend: slow, obvious, and the oracle of the others."""
