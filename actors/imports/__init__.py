"""The import proxy: from a folder at a microscope to a plate in the repository that is proven to be complete."""
