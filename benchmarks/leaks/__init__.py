"""Parts of the leak audit."""
