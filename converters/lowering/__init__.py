"""Lowering rules: how every graph operation becomes plan steps, one family of operations per file."""
