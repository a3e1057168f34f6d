"""Backends: one folder or file each; a backend turns a plan into something that runs."""
