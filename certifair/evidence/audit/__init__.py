"""Audits of logs of any size: counts and exact sums of every group, by an engine that reads files bigger than memory.

Data walks through the modules in this order: `sources` (which files), `plan` (what is asked), `parts` and `mapping`
(which columns), `engines` (who reads them), `numbers` and `levels` (how a sum is exact), `count` (one pass over all
rows), `tally` (what was found), `judge` (what follows), `summary` (how it is told). `run.audit` does all of it.
"""
