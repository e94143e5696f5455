"""Instruments for networks that follow links."""
