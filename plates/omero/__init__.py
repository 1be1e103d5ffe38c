"""Plates in an OMERO.server: connections, whose name they act in, structure and pixels."""
