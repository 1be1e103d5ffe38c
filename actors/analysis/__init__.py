"""Jobs: who computes which well when, and what becomes of it."""
