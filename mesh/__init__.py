"""hcs-mesh."""
