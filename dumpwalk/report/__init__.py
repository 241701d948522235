"""The report model and its renderers. Renderers decide nothing."""
