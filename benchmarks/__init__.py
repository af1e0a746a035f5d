"""Measurements, which print; those with demanded figures end non-zero where one is broken."""
