"""Motion tracks from files: one reader a format."""
