"""Well-known networks, written out in torch with random weights and random batch-norm statistics."""
