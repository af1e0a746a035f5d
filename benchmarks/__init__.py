"""Measurements; they print and assert nothing."""
