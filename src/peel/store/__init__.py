"""Floor 2: what lies on disk: documents, the blob store, locks between processes."""
