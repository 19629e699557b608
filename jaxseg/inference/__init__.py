"""Trained models at work: opened, applied to whole images by sliding window, to files."""
