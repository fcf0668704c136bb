"""The checker of claims about stability: how far outputs can move; witnesses are hints, every bound is proven here."""
