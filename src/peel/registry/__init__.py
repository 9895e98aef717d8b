"""Registries: reading what they hold, and naming what was pushed (OCI distribution-spec). Blobs are skopeo's."""
