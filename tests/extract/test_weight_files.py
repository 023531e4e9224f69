"""What is read as weights, and that nothing in a file runs."""

import codecs
import os
import pickle
import tracemalloc
import zipfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy._core import multiarray
from safetensors.torch import save_file

from egofeat.errors import WeightsError
from egofeat.extract.weight_files import read_tensors


class Malicious:
    """Would create a file if it were unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("key", ["model_state", "state_dict"])
def test_a_training_state_holds_a_state_dict(tmp_path, key, zipped):
    tensors = {"a.weight": torch.arange(6.0).view(2, 3)}
    training = {"epoch": 7, key: tensors, "optimizer_state": {"lr": 0.1}, "cfg": "BN: {}"}
    torch.save(training, tmp_path / "a.pyth", _use_new_zipfile_serialization=zipped)
    read = read_tensors(tmp_path / "a.pyth")
    assert list(read) == ["a.weight"]
    assert torch.equal(read["a.weight"], tensors["a.weight"])


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bare_state_dict(tmp_path, zipped):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        assert torch.equal(read_tensors(tmp_path / name)["a"], torch.ones(2))


@pytest.mark.parametrize("protocol", range(5))  # 5 has other buffers, and is younger than Caffe2
def test_caffe2_blobs_become_float32(tmp_path, protocol):
    blobs = {
        "conv1_w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "t_conv1_w": np.arange(6, dtype=np.float64).reshape(3, 2).T,
        "big_endian": np.arange(3, dtype=">f4"),
        "model_iter": np.int64(5),
        "note": "text",
        "names": np.array(["a", "b"], dtype=object),
        "places": np.array(["a", "b"]),
        "pairs": np.zeros(2, dtype="i4,f4"),
        "half": np.ones((2, 1), dtype=np.float16),
    }
    with (tmp_path / "net.pkl").open("wb") as file:
        pickle.dump({"blobs": blobs, "cfg": "MODEL: {}"}, file, protocol=protocol)
    read = read_tensors(tmp_path / "net.pkl")
    assert list(read) == ["conv1_w", "t_conv1_w", "big_endian", "half"]
    for name, tensor in read.items():
        assert tensor.dtype == torch.float32
        np.testing.assert_array_equal(tensor.numpy(), blobs[name])


def test_a_pickle_as_python_2_wrote_it(tmp_path):
    """Protocol 2 of Python 2: bytes are strings, and NumPy's parts lie in `numpy.core`."""
    written = (
        b"\x80\x02}U\x05blobs}U\x06pred_bcnumpy.core.multiarray\n_reconstruct\n"
        b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U\x08\x00\x00\x80\x3f\x00\x00\x20\xc0tbss."
    )
    (tmp_path / "old.pkl").write_bytes(written)
    assert read_tensors(tmp_path / "old.pkl")["pred_b"].tolist() == [1.0, -2.5]


def malicious_files(folder):
    """Each kind of pickle with something in it that would create `ran`."""
    evil = Malicious(folder / "ran")
    caffe2 = {"blobs": {"conv1_w": np.zeros(2), "evil": evil}}
    nested = {"blobs": {"conv1_w": np.array([evil], dtype=object)}}
    for name, content in (("caffe2", caffe2), ("nested", nested), ("bare", evil)):
        with (folder / f"{name}.pkl").open("wb") as file:
            pickle.dump(content, file, protocol=2)
    torch_state = {"model_state": {"a": torch.ones(2)}, "cfg": evil}
    torch.save(torch_state, folder / "new.pyth")
    torch.save(torch_state, folder / "old.pyth", _use_new_zipfile_serialization=False)
    return sorted(folder.iterdir())


def test_no_pickle_runs_code(tmp_path):
    files = malicious_files(tmp_path)
    assert len(files) == 5
    for path in files:
        with pytest.raises(WeightsError, match=f"{path.name} holds more than tensors") as refusal:
            read_tensors(path)
        assert "\n" not in str(refusal.value)
        assert not (tmp_path / "ran").exists()
    # The same file does run for whoever unpickles it freely: the test would notice.
    pickle.loads((tmp_path / "bare.pkl").read_bytes())
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "call",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\ncore.multiarray\n.",
        b"cnumpy.core.multiarray\nfromfile\n(S'/etc/passwd'\ntR.",
    ],
)
def test_only_what_makes_arrays_may_be_called(tmp_path, call):
    (tmp_path / "a.pkl").write_bytes(call)
    with pytest.raises(WeightsError, match="holds more than tensors"):
        read_tensors(tmp_path / "a.pkl")


class Told:
    """Pickles as a call of `function`, and the state that its result is to have."""

    def __init__(self, function, args, state=None) -> None:
        self.reduced = (function, args, state)

    def __reduce__(self):
        return self.reduced


def told_dtype(code, *rest):
    return Told(np.dtype, (code, False, True), (3, "|", *rest))


def told_array(dtype, content, shape=(1,)):
    made = (np.ndarray, (0,), b"b")
    return Told(multiarray._reconstruct, made, (1, shape, dtype, False, content))


def read_blob(folder, blob, protocol=2):
    (folder / "a.pkl").write_bytes(pickle.dumps({"blobs": {"a": blob}}, protocol=protocol))
    return read_tensors(folder / "a.pkl")


PLAIN = (None, None, None, -1, -1, 0)
FIELDS = (None, ("x",), {"x": (np.dtype("O"), 0)}, 8, 1, 0)
POINTER = b"A" * 8
MORE = "holds more than tensors"


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "blob",
    [
        # Each crashes whoever lets NumPy make it: bytes are taken for addresses of objects.
        Told(multiarray.scalar, (told_dtype("O8", *PLAIN), POINTER)),
        told_array(told_dtype("O8", *PLAIN), POINTER),
        told_array(told_dtype("V8", *FIELDS), POINTER),
        told_array(told_dtype("M8", *PLAIN), POINTER),
    ],
)
def test_bytes_are_never_taken_for_objects(tmp_path, blob, protocol):
    assert read_blob(tmp_path, blob, protocol) == {}


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (told_array(told_dtype("f8", *FIELDS), POINTER), MORE),
        (told_array(told_dtype("f8", None, None, None, 4, 1, 0), POINTER), MORE),
        (told_array(told_dtype("f8", *PLAIN[:-1], 63), POINTER), MORE),
        (told_array("f8", POINTER), MORE),
        (told_array(told_dtype("f8", *PLAIN), POINTER, (2,)), "another size than its bytes"),
        (told_array(told_dtype("f8", *PLAIN), POINTER, (-1, -1)), "cannot be read as weights"),
        (told_array(told_dtype("f1", *PLAIN), POINTER), "cannot be read as weights"),
        (told_array(Told(np.dtype, ("f8",)), POINTER), "cannot be read as weights"),
        (told_array(told_dtype("f8", *PLAIN), Told(codecs.encode, ("A", "zlib"))), MORE),
    ],
)
def test_an_array_that_contradicts_itself_is_refused(tmp_path, blob, words):
    with pytest.raises(WeightsError, match=words) as refusal:
        read_blob(tmp_path, blob)
    assert "\n" not in str(refusal.value)


def test_a_pickle_changes_nothing_that_outlives_it(tmp_path):
    """A state may be given to what was imported, too: here it would change how arrays are read."""
    for name in ("_reconstruct", "scalar"):
        for state in (b"}S'numbers'\nNs", b"N}S'numbers'\nNs\x86"):
            call = b"cnumpy.core.multiarray\n%b\n%bb." % (name.encode(), state)
            (tmp_path / "a.pkl").write_bytes(call)
            with pytest.raises(WeightsError, match="cannot be read as weights"):
                read_tensors(tmp_path / "a.pkl")
    assert read_blob(tmp_path, np.ones(2))["a"].tolist() == [1, 1]


def test_a_few_bytes_take_a_few_bytes_of_memory(tmp_path):
    """A pickle may name an object by any number, and one array, or value, any number of times."""
    files = {"number": b"\x80\x02}r" + (2**28).to_bytes(4, "little") + b"."}
    files["number in text"] = b"}p268435456\n."
    one = np.zeros(100_000, np.float32)
    files["one array"] = pickle.dumps({"blobs": {f"w{n}": one for n in range(1000)}}, protocol=4)
    torch.save({"a": torch.zeros(1).expand(10**10)}, tmp_path / "whole.pth")
    files["one value"] = (tmp_path / "whole.pth").read_bytes()
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "whole.pth")
    with (
        zipfile.ZipFile(tmp_path / "whole.pth") as given,
        zipfile.ZipFile(tmp_path / "small.pth", "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for name in given.namelist():
            deflated.writestr(name, given.read(name))
    files["deflated"] = (tmp_path / "small.pth").read_bytes()
    for kind, content in files.items():
        (tmp_path / "a.pkl").write_bytes(content)
        tracemalloc.start()
        with nullcontext() if "number" in kind else pytest.raises(WeightsError):
            read_tensors(tmp_path / "a.pkl")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * len(content) + 2**20, kind
    os.mkfifo(tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="it is no file"):
        read_tensors(tmp_path / "a.pth")


def test_damaged_absent_and_unsuitable_files(tmp_path):
    with pytest.raises(WeightsError, match="there is no weights file"):
        read_tensors(tmp_path / "absent.pkl")
    for name in ("page.pkl", "page.pyth", "page.safetensors"):
        (tmp_path / name).write_bytes(b"<html>not found</html>")
        with pytest.raises(WeightsError, match="cannot be read as weights"):
            read_tensors(tmp_path / name)
    for name, content in (("m.yaml", b"version: 1"), ("e.pth", b""), ("cut.pkl", b"\x80\x02}")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match="it is no torch file, or cut off"):
            read_tensors(tmp_path / name)
    torch.save({"model_state": {"a": 1}}, tmp_path / "numbers.pyth")
    torch.save([torch.ones(1)], tmp_path / "list.pyth")
    torch.save({0: torch.ones(1)}, tmp_path / "nameless.pyth")
    (tmp_path / "dict.pkl").write_bytes(pickle.dumps({"a": 1}))
    for name in ("numbers.pyth", "list.pyth", "nameless.pyth", "dict.pkl"):
        with pytest.raises(WeightsError, match="not a state dict of tensors"):
            read_tensors(tmp_path / name)


@pytest.mark.parametrize("kind", [".pth", ".safetensors"])
def test_values_that_are_no_numbers_are_named(tmp_path, kind):
    path = tmp_path / f"weights{kind}"
    infinite = torch.tensor([torch.inf, -torch.inf, 1.0])  # a mask
    state = {"mask": infinite, "steps": torch.tensor(3), "layer.weight": torch.ones(4)}
    save = save_file if kind == ".safetensors" else torch.save
    save(state, path)
    assert torch.equal(read_tensors(path)["mask"], infinite)
    state["layer.weight"][2] = torch.nan
    save(state, path)
    with pytest.raises(WeightsError, match=r"layer\.weight holds values that are no numbers"):
        read_tensors(path)


def test_values_of_8_bits_are_read_and_those_that_are_not_there_are_refused(tmp_path):
    small = torch.tensor([0.5, 448.0]).to(torch.float8_e4m3fn)
    torch.save({"a": small}, tmp_path / "small.pth")
    save_file({"a": small}, tmp_path / "small.safetensors")
    for name in ("small.pth", "small.safetensors"):
        assert read_tensors(tmp_path / name)["a"].float().tolist() == [0.5, 448.0]
    torch.save({"a": torch.ones(2, device="meta")}, tmp_path / "meta.pth")
    with pytest.raises(WeightsError, match=r"meta\.pth cannot be read as weights \(.*meta tensors"):
        read_tensors(tmp_path / "meta.pth")
