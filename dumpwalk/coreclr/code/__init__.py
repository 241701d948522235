"""From a code address to the method it belongs to."""
