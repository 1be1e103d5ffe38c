"""Other hosts as nodes of the mesh: joining, and speaking with the actors there."""
