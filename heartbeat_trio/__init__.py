"""The public names, and a map of the package (to be written last)."""
