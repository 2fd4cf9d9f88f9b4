"""The compiled training loops."""
