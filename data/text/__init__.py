"""Text: corpora, tokenizers, token shards."""
