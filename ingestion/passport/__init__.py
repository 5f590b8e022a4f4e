"""The passport of a transaction: everything that is known of one event, on one page.

gather.py reads the database, timeline.py puts it in order, archived.py reads the bytes and
evaluates them again, counted.py finds the cells, page.py and export.py show it.
"""
