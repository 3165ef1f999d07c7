"""Contracts and machinery that everything stands on."""
