"""Stage two: heads trained on features, and what they are worth."""
