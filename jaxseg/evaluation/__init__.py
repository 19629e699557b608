"""Dice and Jaccard of trained models, image by image."""
