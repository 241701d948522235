"""The wait-for graph: as a tree of lines, as a drawing, for Mermaid and for DOT."""
