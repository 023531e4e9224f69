"""Small sound inputs of every parser, as folders of files; empty files only have to be there."""

from collections.abc import Mapping

Files = Mapping[str, bytes]


def _manifest(entry: str) -> bytes:
    return f"version: 1\ndatasets:\n  one:\n{entry}".encode()


_EPIC = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,"
    "start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)
_CLASSES = "id,key,instances,category\n0,take,[],a\n1,put,[],b\n2,cut,[],a\n"
_GAZE = "\n".join(
    [
        *("## [BeGaze]", *["##"] * 31, "## Subject:\tA", "Time\tType\tTrial"),
        *(f"{k * 41667}\tSMP\t1\t{64 * k}.5\t240.25\t{k}\t\tFixation" for k in range(10, 16)),
    ]
)
_MAP = 'item {\n  name: "sit"\n  id: 1\n}\nitem {\n  name: "run/jog"\n  id: 3\n}\n'
_PEOPLE = (
    "a,0902,0.077,0.151,0.283,0.811,3,1\na,0902,0.077,0.151,0.283,0.811,1,1\n"
    "a,0903,0.5,0.1,0.6,0.2,1,\nb,0902.5,0,0,1,1,1\nb,0904\n"
)
_AVA = (
    "    format: ava\n    media: media\n    annotations: {train: train.csv}\n"
    "    label_map: map.pbtxt\n    excluded: {train: excluded.csv}\n    begin: 900\n"
)

ANNOTATIONS: Mapping[str, Files] = {
    "manifest": {
        "m.yaml": b"""\
version: 1
default: one
datasets:
  one: {format: csv, media: media, annotations: t.csv, fps: 20, resplit: {val: 0.3}}
  two: {format: folder, media: ~/clips, target: action, group: 'HandWash_(\\d+)', obtain: buy it}
  three: {format: epic-kitchens-100, media: $HOME/x, annotations: ./notes, frames: tars}
  four: {format: egtea-gaze+, media: /m, annotations: a, gaze: g, split: 2, resplit: {val: [P01]}}
  five: {format: ava, media: m, annotations: {train: [a.csv, b.csv]}, label_map: m, begin: 900}
""",
        "t.csv": b"video\na.mp4\n",
        "media/.keep": b"",
    },
    "csv": {
        "m.yaml": _manifest(
            "    format: csv\n    media: media\n    annotations: t.csv\n    fps: 25\n"
            "    columns: {video: file, start: t0, stop: t1, split: part, group: who, id: uid,\n"
            "      labels: {verb: verb, noun: thing}}\n    classes: {verb: verbs.txt}\n"
        ),
        "t.csv": (
            b"file,t0,t1,part,who,uid,verb,thing\na.mp4,0,1.5,train,P1,u1,take,1\n"
            b'b/c.mp4,00:01.5,00:00:03,val,P2,u2,put,0\n"d,e.mp4",,,test,,u3,,2\n'
        ),
        "verbs.txt": b"take\nput\ncut\n",
        "media/.keep": b"",
    },
    "class folders": {
        "m.yaml": _manifest(
            "    format: folder\n    media: clips\n    group: 'g(\\d+)'\n    resplit: {val: 0.5}\n"
        ),
        **{f"clips/{s}/{c}/g{k}_c.mp4": b"" for s in ("train", "val") for c in "ab" for k in "12"},
    },
    "UCF lists": {
        "m.yaml": _manifest("    format: folder\n    media: clips\n    annotations: lists\n"),
        "lists/classInd.txt": b"1 Apply\n2 Bowl\n",
        "lists/trainlist01.txt": b"Apply/v_g01.avi 1\nBowl/v_g01.avi 2\n",
        "lists/testlist01.txt": b"Apply/v_g02.avi\nBowl/v_g02.avi\n",
        **{f"clips/{c}/v_g0{k}.avi": b"" for c in ("Apply", "Bowl") for k in (1, 2)},
    },
    "HMDB lists": {
        "m.yaml": _manifest("    format: folder\n    media: clips\n    annotations: lists\n"),
        "lists/run_test_split1.txt": b"a.avi 1\nb.avi 2\nc.avi 0\n",
        "lists/sit_test_split1.txt": b"a.avi 1 \nb.avi 2 \n",
        **{f"clips/{c}/{k}.avi": b"" for c in ("run", "sit") for k in "abc"},
    },
    "EPIC": {
        "m.yaml": _manifest(
            "    format: epic-kitchens-100\n    media: media\n    annotations: notes\n"
        ),
        "notes/EPIC_100_train.csv": (
            _EPIC + "P01_01_0,P01,P01_01,0,00:00:00.14,00:00:03.37,8,202,n,v,0,n,2,['n'],[2]\n"
            "P01_101_0,P01,P01_101,0,00:01:00.00,00:01:02.00,3000,3100,n,v,1,n,0,['n'],[0]\n"
        ).encode(),
        "notes/EPIC_100_validation.csv": (
            _EPIC + "P18_01_0,P18,P18_01,0,00:00:00.00,00:00:01.89,1,113,n,v,2,n,1,['n'],[1]\n"
        ).encode(),
        "notes/EPIC_100_verb_classes.csv": _CLASSES.encode(),
        "notes/EPIC_100_noun_classes.csv": _CLASSES.encode(),
        "notes/EPIC_100_tail_verbs.csv": b"verb\n1\n2\n",
        "notes/EPIC_100_tail_nouns.csv": b"noun\n2\n",
        "notes/EPIC_100_unseen_participant_ids_validation.csv": b"participant_id\nP18\n",
        "notes/EPIC_100_test_timestamps.csv": (
            b"narration_id,participant_id,video_id,narration_timestamp,start_timestamp,"
            b"stop_timestamp,start_frame,stop_frame\n"
            b"P02_01_0,P02,P02_01,0,00:00:01.00,00:00:02.00,60,120\n"
        ),
        "media/.keep": b"",
    },
    "EGTEA and gaze": {
        "m.yaml": _manifest(
            "    format: egtea-gaze+\n    media: media\n    annotations: notes\n    gaze: gaze\n"
        ),
        "notes/train_split1.txt": (
            b"P01-R01-Pizza-0-500-F000010-F000016 1 1 1\n"
            b"P02-R02-Salad-0-500-F000000-F000013 3 2 2 1\n"
        ),
        "notes/test_split1.txt": b"P01-R01-Pizza-500-900-F000012-F000022 2 2 3 1 2\n",
        "notes/action_idx.txt": b"Open fridge 1\nTake cup,spoon 3\nTake cup 2\n",
        "notes/verb_idx.txt": b"Open 1\nTake 2\n",
        "notes/noun_idx.txt": b"fridge 1\nspoon 2\ncup 3\n",
        "gaze/P01-R01-Pizza.txt": _GAZE.encode(),
        "media/.keep": b"",
    },
    "AVA": {
        "m.yaml": _manifest(_AVA),
        "train.csv": _PEOPLE.encode(),
        "map.pbtxt": _MAP.encode(),
        "excluded.csv": b"a,0905\nb,0906\n",
        "media/a.mp4": b"",
        "media/b.mkv": b"",
    },
}
BOXES: Files = {
    "m.yaml": _manifest(_AVA),
    "train.csv": _PEOPLE.encode(),
    "map.pbtxt": _MAP.encode(),
    "excluded.csv": b"",
    "found.csv": b"a,902,0.1,0.1,0.5,0.9,,0.95\na,0903,0,0,1,1,3,0.7\nb,902.5,0,0,1,1,0.6\n",
    "media/a.mp4": b"",
    "media/b.mkv": b"",
}
