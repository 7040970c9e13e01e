"""Texts in, figures out: what is counted, how it is resampled and compared. No model and no torch."""
