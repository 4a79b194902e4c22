"""Release: from a run whose gate passed to signed engines in a registry.

`overrule` says what may ship, `parts` finds its files, `proof`, `card`, `sbom` and `provenance` write what
goes with them, `publish` signs and pushes, and `conduct` puts these together.
"""
