"""Decoder language models: loading, tokenizers, sampling, generation and attention modes."""
