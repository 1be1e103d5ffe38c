"""Names are handed on here."""
