"""ECMA-335 metadata of the process's assemblies, read from its memory or from matched assembly files."""
