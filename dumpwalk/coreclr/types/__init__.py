"""Method tables, type names, fields, statics and objects."""
