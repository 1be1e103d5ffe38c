"""The napari viewer: a process of its own that shows what the mesh streams."""
