"""A second verifier of proof bundles, written from crates/proof-bundle/FORMAT.md alone."""
