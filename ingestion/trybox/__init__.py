"""The try box: what becomes of one event under the active and under a draft version.

The path's own steps on one message: scrub, then evaluate() under each bundle. Nothing is written
and nothing of the event is kept or logged.
"""
