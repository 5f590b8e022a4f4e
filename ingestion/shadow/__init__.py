"""A draft rule set beside the live one, on live traffic, for a time.

Never in the path of ingestion: what runs here follows the manifest, reads the archived bytes again
and keeps both sides in tables of their own (`shadow_cells`, `shadow_findings`).
"""
