"""What egofeat promises when processes are killed, disks fail, bits flip and input is hostile.

`python -m tests.campaigns`, or `make campaign`: see docs/reliability.md. One process imports torch
once and forks a child for every trial, so that a trial costs a second and not ten.
"""
