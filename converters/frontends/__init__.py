"""Readers of other frameworks' models: each makes a graph."""
