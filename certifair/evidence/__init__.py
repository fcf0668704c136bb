"""What lies on disk: canonical JSON and digests, tables, the evidence bundle."""
