"""Folders that are looked at, so that what appears in them is imported."""
