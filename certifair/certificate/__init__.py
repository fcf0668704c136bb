"""The signed certificate: predicate, envelope, and verification in numbered steps."""
