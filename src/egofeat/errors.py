"""What can go wrong for a reason that the user can mend.

Every message is one sentence that names the thing (file, entry, option) and says
what to do; an option is named as its field, `clip_frames` in backticks, and the command
line prints it as it is typed. The command line prints it without a traceback and exits with the
class's `exit_code`; anything else that is raised is a defect of egofeat.
"""


class EgofeatError(Exception):
    """Work that could not be done; the command line exits with 1."""

    exit_code = 1


class RequestError(EgofeatError):
    """A wrong request: a bad option, path or combination; exits with 2."""

    exit_code = 2


class ManifestError(RequestError):
    """A manifest or annotation file that does not say what it must."""


class WeightsError(RequestError):
    """Weights that are absent, altered or of another network."""


class MediaError(EgofeatError):
    """A video or frame folder that cannot be read; recorded as a failure, the rest goes on."""

    cause = "damaged"
    """Why, in a word of `CAUSES`; it says whether another run tries again by itself."""


class MissingMediaError(MediaError):
    """Media that are not there; tried again by each run, since they may have arrived."""

    cause = "missing"


class UnreadableMediaError(MediaError):
    """Media that the disk, the system or the manifest keeps from being read; tried again too."""

    cause = "unreadable"


OVERFLOW = "overflow"
"""Cause of a feature that the store's dtype does not hold: no video is to blame."""
LASTING = (MediaError.cause, OVERFLOW)
"""Causes that another run meets again, where the video is the same."""
CAUSES = (*LASTING, MissingMediaError.cause, UnreadableMediaError.cause)
"""What failures are sorted by."""


class StoreError(EgofeatError):
    """A feature store that is absent, damaged or not what was asked for."""


class NoStoreError(RequestError, StoreError):
    """A path at which no feature store is: a wrong request."""
