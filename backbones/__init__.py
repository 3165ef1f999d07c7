"""One file per backbone. A file here is registered by being here."""
