"""People's sessions at OMERO: had by the hub, lent to the processes that read in people's names."""
