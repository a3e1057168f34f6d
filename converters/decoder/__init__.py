"""Checkpoints of decoder language models become plans."""
