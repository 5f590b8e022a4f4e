"""The overview: how payments are doing, read from roll-ups and shared by all viewers."""
