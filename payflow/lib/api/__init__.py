"""What every endpoint of the REST API shares: who may, how errors look, how lists are paged."""
