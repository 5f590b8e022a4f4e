"""The page of a source, its forms and endpoints: is it read, how fast, how far behind, why not."""
