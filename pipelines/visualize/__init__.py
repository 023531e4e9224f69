"""Pictures of what networks hold and see."""
