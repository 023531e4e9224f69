"""The cut into shards: every segment once, the same however often work was interrupted."""

import hashlib
import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egofeat.extract.shards import (
    MAX_ROWS,
    Batch,
    cut,
    cut_videos,
    key_of,
    part,
    rest_of,
    shard_of,
    shards_in,
    without,
)
from egofeat.segments import Segment, column_of


@st.composite
def data_sets(draw: st.DrawFn) -> list[Segment]:
    counts = draw(st.lists(st.integers(1, 200), min_size=1, max_size=8))
    return [
        Segment(id=f"v{video}/{k}", video=f"v{video}", start=float(k), stop=k + 1.5)
        for video, count in enumerate(counts)
        for k in range(count)
    ]


def ids(batches):
    return [s.id for batch in batches for shard in batch.shards for s in shard.segments]


@given(data_sets(), st.integers(1, 2**26))
def test_every_segment_stands_in_one_shard(segments, row_bytes):
    batches = cut(segments, row_bytes)
    assert sorted(ids(batches)) == sorted(s.id for s in segments)
    shards = [shard for batch in batches for shard in batch.shards]
    assert len({shard.name for shard in shards}) == len(shards)
    assert max(len(shard.segments) for shard in shards) <= MAX_ROWS
    assert all(len(s.segments) == 1 or len(s.segments) * row_bytes <= 2**25 for s in shards)


@given(data_sets())
def test_no_video_is_decoded_by_two_batches(segments):
    homes = {}
    for number, batch in enumerate(cut(segments, 51_200)):
        for shard in batch.shards:
            for segment in shard.segments:
                assert homes.setdefault(segment.video, number) == number


@given(st.lists(st.integers(-1, 90), max_size=60), st.integers(1, 40), st.randoms())
def test_of_many_videos_short_ones_share_a_shard(sizes, many, random):
    videos = [Segment(f"v{place:02d}", f"v{place:02d}") for place in range(len(sizes))]
    size_of = {video.video: size for video, size in zip(videos, sizes, strict=True)}
    shuffled = list(videos)
    random.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("egofeat.extract.shards.MANY_VIDEOS", many)
        batches = cut_videos(videos, size_of.__getitem__, 100)
        assert cut_videos(shuffled, size_of.__getitem__, 100) == batches
        apart = cut_videos(videos, lambda video: 1000, 100)
    assert ids(batches) == ids(apart) == [one.id for one in videos]
    # Who shares a part of the work agrees on it, also where files have changed meanwhile.
    assert [ids([one]) for one in batches] == [ids([one]) for one in apart]
    assert len(batches) <= many
    shards = shards_in(batches)
    assert [shard.number for shard in shards] == list(range(len(shards)))
    of_shards = [[max(0, size_of[id_]) for id_ in ids([Batch((one,))])] for one in shards]
    assert all(len(of) == 1 or sum(of) <= 100 for of in of_shards)
    for batch in batches:  # two neighbours stand apart only where they do not fit together
        both = [[max(0, size_of[s.video]) for s in one.segments] for one in batch.shards]
        for one, other in pairwise(both):
            assert sum(one) + other[0] > 100


@given(data_sets(), st.randoms())
def test_the_cut_does_not_depend_on_the_order_of_the_segments(segments, random):
    shuffled = list(segments)
    random.shuffle(shuffled)
    assert cut(shuffled, 51_200) == cut(segments, 51_200)


@given(data_sets(), st.integers(1, 5))
def test_parts_share_the_work_without_rest(segments, parts):
    batches = cut(segments, 51_200)
    shared = [ids(part(batches, number, parts)) for number in range(1, parts + 1)]
    assert sorted(id_ for share in shared for id_ in share) == sorted(s.id for s in segments)


@given(data_sets(), st.randoms())
def test_an_interrupted_run_goes_on_with_the_same_shards(segments, random):
    batches = cut(segments, 51_200)
    shards = [shard for batch in batches for shard in batch.shards]
    published = [shard for shard in shards if random.random() < 0.5]
    failed = {key_of(s) for s in segments if random.random() < 0.1}
    done = {key_of(s) for shard in published for s in shard.segments} - failed
    left = without(batches, done, failed)
    rest = [shard for batch in left for shard in batch.shards]
    assert {s.name for s in rest} <= {s.name for s in shards if s not in published}
    assert sorted(ids(left)) == sorted(
        s.id for s in segments if key_of(s) not in done and key_of(s) not in failed
    )


def test_what_failed_in_a_published_shard_gets_a_shard_of_its_own():
    segments = [Segment(id=str(k), video="v", start=float(k), stop=k + 1.0) for k in range(4)]
    batches = cut(segments, 1)
    done = {key_of(s) for s in segments[:3]}
    (batch,) = without(batches, done, set())
    assert [s.id for s in batch.shards[0].segments] == ["3"]
    assert batch.shards[0].name != batches[0].shards[0].name


@given(data_sets(), st.randoms())
def test_what_others_publish_meanwhile_leaves_what_a_plan_made_then_would_have(segments, random):
    """Also of shards of which some were done before, or are passed over since they failed."""
    drawn = [random.randrange(5) for _ in segments]
    before = {key_of(s) for s, k in zip(segments, drawn, strict=True) if k == 0}
    failed = {key_of(s) for s, k in zip(segments, drawn, strict=True) if k == 1}
    after = before | {key_of(s) for s, k in zip(segments, drawn, strict=True) if k < 4 and k != 1}
    batches = cut(segments, 51_200)
    rests = [rest_of(shard, after) for shard in shards_in(without(batches, before, failed))]
    planned = shards_in(without(batches, after, failed))
    named = [(shard.name, list(shard.segments)) for shard in planned]
    assert [(rest.name, list(rest.segments)) for rest in rests if rest] == named


@given(st.lists(st.tuples(st.text(max_size=3), st.floats(0, 1e300), st.floats(0)), max_size=5))
def test_a_name_tells_ids_and_times_as_python_writes_them(keys):
    segments = [Segment(id_, "v", start, stop) for id_, start, stop in keys]
    text = "\n".join(f"{id_}\t{start!r}\t{stop!r}" for id_, start, stop in keys)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert shard_of(3, segments).name == f"00003-{digest[:8]}"


def test_a_shard_of_many_segments_is_sent_without_the_others():
    segments = [Segment(str(k), f"v{k % 9}", float(k), k + 1.0, "val") for k in range(4000)]
    shard = shards_in(cut(segments, 51_200))[3]
    sent = pickle.dumps(shard)
    assert len(sent) < 20_000
    assert pickle.loads(sent) == shard
    assert list(shard.segments) == [segments[int(id_)] for id_ in column_of(shard.segments, "ids")]
    assert shard.segments[-1] == shard.segments[1:][-1] == list(shard.segments)[-1]
