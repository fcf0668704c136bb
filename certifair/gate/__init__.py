"""The gate: a relying party's policy, evaluated against a verified certificate."""
