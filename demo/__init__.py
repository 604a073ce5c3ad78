"""A short demo of both frameworks with TexAPI."""
