"""What published classifiers see in videos, without anything being trained."""
