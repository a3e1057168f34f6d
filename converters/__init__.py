"""The converter: from pruned models to group-sparse files."""
