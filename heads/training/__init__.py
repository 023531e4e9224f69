"""How a head is trained."""
