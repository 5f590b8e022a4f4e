"""Building blocks of our pages: how values look, lists that never count, pages of one row."""
