"""The embedded default: a sentence grammar, synthetic speakers, the corpus made of both, and small checkpoints."""
