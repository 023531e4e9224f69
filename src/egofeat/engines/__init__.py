"""Who works, where, and on what: workers of one machine or of many, and the units they share.

Nothing here knows what the work is.
"""
