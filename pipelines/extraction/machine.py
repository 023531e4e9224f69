"""What suits the machine at hand."""

import os
import platform

import torch

from egofeat.recipe import Plan
from egofeat.recipe.transform import Transform

CPU_BATCH = 4
"""glibc gives blocks over 32 MB back to the kernel whenever they are freed, and fresh pages
cost more than the arithmetic: at 256 pixels, MobileNetV2's largest activation of four frames
takes 25 MB, and batches of 4 run more than twice as fast as batches of 32."""
GPU_BATCH = 256
"""Frames a batch; a clip counts all of its own."""


def suiting_batch(device: torch.device, plan: Plan, transform: Transform) -> int:
    """Views a batch that suit a device."""
    frames = GPU_BATCH if device.type == "cuda" else CPU_BATCH
    return max(1, frames // (plan.view_frames * transform.crops))


def decoding_threads() -> int:
    """One a core, and no more than a disk feeds."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(16, cores or 1)


def device_name(device: torch.device) -> str:
    """What a device is, for the record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()})"
