"""Placeholder until all parts stand."""
