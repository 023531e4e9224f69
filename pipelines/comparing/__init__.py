"""What trained heads have in common, what tells them apart, and which is better."""
