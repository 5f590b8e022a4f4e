"""The page of a source, its forms and endpoints."""
