"""The web page of a stack: a face like `cli/` that only reads.

`source` says what it is told, `page` what it answers, `guard` whom, `serving` where.
"""
