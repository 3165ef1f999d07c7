"""One file per loss. A file here is registered by being here."""
