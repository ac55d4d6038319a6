"""Isolated Linux hosts on this machine: what `provider: local` boots instead of bare metal.

`machine` has the data and every name derived from it, `actions` what a plan may hold, `executors`
how it is carried out, `reader` what is there now. This file imports nothing, because the keeper,
one small process beside each host, is a module of this package.
"""
