"""What computes: the device, its memory, and programs that are compiled once and kept."""
