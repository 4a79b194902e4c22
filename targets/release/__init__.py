"""Releases: what a registry holds for devices, and what a device makes of it."""
