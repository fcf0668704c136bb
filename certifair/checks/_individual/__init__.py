"""The checker of witnesses about individual fairness: nothing that an engine says is believed, every bound is redone.

Read in this order: `floats` (what is proven about f at points and in boxes), `counting` (how many units of a box are
proven fair or unfair), `boxes` and `trees` (the boxes of a proof tree, put together), `rows` (single people),
`independence` (networks that need none of it), `check`.
`integers` does all of it again in the integers of the standard library, for who trusts no floating point.
"""
