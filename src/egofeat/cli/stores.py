"""What is there, and what becomes of it: networks, stores, packages that add some."""

from dataclasses import asdict

from egofeat.cli.command import Printed, Report, command
from egofeat.errors import RequestError
from egofeat.pipelines.comparing.options import CompareFeaturesConfig
from egofeat.pipelines.exporting.options import ExportConfig
from egofeat.pipelines.extraction.options import PruneConfig
from egofeat.pipelines.importing.options import ImportConfig
from egofeat.pipelines.options import BackboneName, Folder, Kept, StoreFolder
from egofeat.words import counted

PANEL = "Features"


@command("backbones", PANEL, saved=False)
def backbones(asked: BackboneName) -> Report:
    """List the frozen networks: parameters, cost per view, input, taps, accuracy, weights."""
    from egofeat.pipelines.bench.listing import describe, layers, listing

    if asked.layers:
        return layers(asked.name)
    return describe(asked.name) if asked.name else listing()


@command("plugins", PANEL, saved=False)
def plugins() -> Report:
    """List what installed packages add: backbones, heads, data-set formats, store formats."""
    from egofeat.pipelines.plugins import plugins as found

    return found()


@command("ls", PANEL, saved=False)
def ls(asked: Folder) -> Report:
    """List the feature stores below a folder: content, size, and how they were made."""
    from egofeat.pipelines.kept import say_none, say_store
    from egofeat.store import list_stores

    if not asked.folder.is_dir():
        raise RequestError(f"there is no folder {asked.folder}: name one that holds feature stores")
    stores = list_stores(asked.folder)
    said = [line for store in stores for line in say_store(store)]
    return Printed([asdict(store) for store in stores], said or say_none(asked.folder))


@command("verify", PANEL, saved=False)
def verify(asked: Kept) -> Report:
    """Compare every byte of stores and runs with their checksums; change nothing."""
    from egofeat.pipelines.kept import Verified, find_kept

    return Verified(find_kept(asked.paths))


@command("export", PANEL, resumes=True)
def export(asked: ExportConfig) -> Report:
    """Write features in a format of another project, one file per video or segment.

    **ego4d**: `<video>.pt`, a tensor [N, C]. **actionformer**: `<video>.npz` and the annotation
    JSON. **opentad**: `<video>.npy` [T, C], the annotation JSON and the list of classes. These
    three need dense windows over whole videos.
    **npy**: one file per segment of any store. `features.json` holds the stride, window and
    frame rate that the other project asks for; `missing_files.txt` lists what has no features.
    After an interruption, give the same command.
    """
    from egofeat.pipelines.exporting.export import export as write

    return write(asked)


@command("import", PANEL, resumes=True)
def import_features(asked: ImportConfig) -> Report:
    """Put features that another program made into a store, which heads read without any video.

    **npy**, **npz**, **hdf5**: an array [T, C] or [C] a segment, or a video. **lmdb**: RULSTM's, a
    vector a frame. **ego4d**, **actionformer**, **opentad**: a file a video. Rows of whole videos
    are cut by the segments of the manifest. After an interruption, or when files were mended, give
    the same command.
    """
    from egofeat.pipelines.importing.run import import_features as bring

    return bring(asked)


@command("compare-features", PANEL)
def compare_features(asked: CompareFeaturesConfig) -> Report:
    """Compare the features of two stores: cosine and largest difference of each segment.

    It answers whether one's own features are another's, or what a precision, decoder or resize
    changes.
    """
    from egofeat.pipelines.comparing.features import compare_features as judge

    return judge(asked)


@command("prune", PANEL, saved=False)
def prune(asked: PruneConfig) -> Report:
    """Remove feature stores; without --yes, only print which, and how large they are."""
    from egofeat.pipelines.extraction.prune import prune as remove

    return remove(**vars(asked))


@command("compact", PANEL, saved=False, resumes=True)
def compact(asked: StoreFolder) -> Report:
    """Join the small shards of a store into larger ones; features stay the same, bit for bit."""
    from egofeat.store.compacting import compact as join

    before, after = join(asked.store)
    said = f"{asked.store}: {counted(before, 'shards')} before, {after:,} now"
    return Printed({"store": str(asked.store), "before": before, "after": after}, [said])
