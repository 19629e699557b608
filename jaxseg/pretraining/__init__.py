"""Initial weights of one's own: an encoder that learns from images without annotations (Barlow Twins)."""
