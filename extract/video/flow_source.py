"""Flow shipped as images, u and v apart, read as frames whose first two channels are u and v.

Layouts: sub-folders `u/` and `v/`, as EPIC-KITCHENS has them, in a folder, tar or zip; or one
folder whose images are called so, `…_u_0000000001.jpg` beside `…_v_0000000001.jpg`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.extract.video.files import is_folder
from egofeat.extract.video.image_source import ImageSource, frame_number, names_in
from egofeat.extract.video.source import FrameSource
from egofeat.segments import Media

if TYPE_CHECKING:
    from torch import Tensor


class FlowSource(FrameSource):
    """Two rows of images as one video of flow.

    Args:
        u: horizontal flow, encoded.
        v: vertical flow, of the same frames.

    Raises:
        MediaError: they are not of the same frames.
    """

    def __init__(self, u: ImageSource, v: ImageSource) -> None:
        self.path, self.times, self.stop, self.lasting = u.path, u.times, u.stop, u.lasting
        self.counting = u.counting
        if not np.array_equal(u.times, v.times):
            raise MediaError(
                f"{u.path} has {len(u.times)} frames of u and {len(v.times)} of v, with "
                "different numbers: copy it again"
            )
        self._u, self._v = u, v

    def _scan(self, wanted: list[int]) -> Iterator[tuple[int, "Tensor"]]:
        both = zip(self._u.tensors(wanted), self._v.tensors(wanted), strict=True)
        for (index, u), (_, v) in both:
            if u.shape != v.shape:
                raise MediaError(
                    f"{self.path}: u and v of frame {index} differ in size: copy it again"
                )
            frame = u.new_zeros(u.shape)
            frame[..., 0], frame[..., 1] = u[..., 0], v[..., 0]
            yield index, frame

    @property
    def entries(self) -> NDArray[np.int64]:
        """Every frame, as of images."""
        return self._u.entries

    def again(self) -> "FlowSource":
        """Read the same images at the same time."""
        return FlowSource(self._u.again(), self._v.again())

    def close(self) -> None:
        """Close both; closing twice is fine."""
        self._u.close()
        self._v.close()


def folder_members(folder: Path) -> dict[str, None]:
    """Names of all in a folder; of one with `u/` and `v/`, of what these hold.

    Raises:
        MediaError: see `unread`.
    """
    names = names_in(folder)
    if {"u", "v"} <= set(names):
        axes = [folder / axis for axis in "uv"]
        if all(is_folder(axis) for axis in axes):
            names = [f"{axis.name}/{name}" for axis in axes for name in names_in(axis)]
    return dict.fromkeys(names)


Member = TypeVar("Member")


def open_images(
    media: Media,
    members: Mapping[str, Member],
    source: Callable[[Media, Mapping[str, Member]], ImageSource],
) -> FrameSource:
    """Frames in a folder, tar or zip, or flow where its images are of u and v.

    Args:
        media: what and where they are.
        members: everything in it, by name.
        source: that reads some of them.

    Raises:
        MediaError: see `ImageSource` and `FlowSource`.
    """
    u, v = ({name: members[name] for name in names} for names in _by_axis(members))
    if u and v:
        return FlowSource(source(media, u), source(media, v))
    return source(media, members)


def _by_axis(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names of the images of u, and of v."""
    axes: dict[str, list[str]] = {"u": [], "v": []}
    for name in names:
        if frame_number(name) is None:
            continue
        path = PurePosixPath(name)
        called = re.search(r"(?:^|_)([uv])_?[0-9]+$", path.stem)
        axis = called[1] if called else path.parent.name
        if axis in axes:
            axes[axis].append(name)
    return axes["u"], axes["v"]
