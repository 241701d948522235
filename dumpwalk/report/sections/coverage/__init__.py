"""How far each claim reaches."""
