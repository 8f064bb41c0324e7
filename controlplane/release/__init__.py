"""Releases: what their checks find, what follows from it, and how that changes the definitions. No I/O."""
