"""ResNet and U-Net, and what they start from."""
