"""Which crops a training sees, and how they are cut from images that lie on the device."""
