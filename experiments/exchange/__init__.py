"""What comes from others, and goes to them? Pretrained models."""
