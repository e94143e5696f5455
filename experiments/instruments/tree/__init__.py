"""Instruments that need the tree grammar and its exact inference."""
