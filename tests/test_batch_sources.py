"""What `keras_pvt.batch` lists: folders, lists, Parquet, tar, TFRecord, HTTP, object stores."""

import contextlib
import functools
import http.server
import io
import os
import tarfile
import threading
import time

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from keras_pvt.batch import storage
from keras_pvt.batch.manifest import Columns, places, read_manifest
from keras_pvt.batch.sources.content import Contents
from keras_pvt.batch.sources.row import Row
from keras_pvt.batch.sources.tfrecords import feature_of
from keras_pvt.utils import image_files
from keras_pvt.utils.image_files import Stored, read_in_batches
from keras_pvt.utils.images import image_size, load_image

pytestmark = pytest.mark.one_backend("reads files")


def png(number):
    """An image file, and how tall it is told which one it is."""
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (5 + number, 7, 3), "uint8")
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pixels_of(number):
    return np.asarray(Image.open(io.BytesIO(png(number))))


def read_all(sources, columns=None, content=None):
    """Id -> image or error, of each row of the manifest."""
    columns = columns or Columns(content=content)
    rows = [Row(**row) for row in read_manifest(sources, columns).to_pylist()]
    contents = Contents(columns.content)
    files = read_in_batches(map(contents.source, rows), load_image, 2)
    found = [one.error if one.image is None else one.image for some in files for one in some]
    return {row.id: one for row, one in zip(rows, found, strict=True)}


def check(found, ids):
    assert list(found) == ids
    for number, image in enumerate(found.values()):
        np.testing.assert_array_equal(image, pixels_of(number))


def test_a_folder_and_what_is_below_it(tmp_path):
    for number, name in enumerate(["a.png", "b/c.png", "b/d/e.PNG"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(number))
    (tmp_path / "notes.md").write_text("")
    (tmp_path / ".hidden.png").write_bytes(png(9))
    check(read_all([tmp_path]), ["a.png", "b/c.png", "b/d/e.PNG"])
    assert places([tmp_path, tmp_path / "a.png"]) == [str(tmp_path)]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no image"):
        read_manifest([tmp_path / "empty"], Columns())
    with contextlib.suppress(OSError):  # where names of files are in UTF-8
        (tmp_path / os.fsdecode(b"\xe9.png")).write_bytes(png(0))
        with pytest.raises(ValueError, match=r"are in UTF-8; got '\\udce9.png' for"):
            read_manifest([tmp_path], Columns())
    with pytest.raises(FileNotFoundError, match=r"no file or folder 'no.png'"):
        read_manifest(["no.png"], Columns())
    with pytest.raises(ValueError, match="a source of images is wanted"):
        read_manifest([], Columns())


def test_a_list_of_paths_starts_at_its_own_folder(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for number in range(2):
        (tmp_path / "in" / f"{number}.png").write_bytes(png(number))
    listed = tmp_path / "in" / "list.txt"
    listed.write_text(f"0.png\n\n  {tmp_path}/in/1.png\nnone.png\n")
    monkeypatch.chdir(tmp_path)
    found = read_all(["in/list.txt"])
    assert f"{tmp_path}/in/none.png cannot be opened" in found.pop("none.png")
    check(found, ["0.png", f"{tmp_path}/in/1.png"])
    assert places(["in/list.txt"]) == [str(listed)]
    listed.write_bytes(b"\xef\xbb\xbf0.png\r\n")  # as editors on Windows write it
    check(read_all([listed]), ["0.png"])
    listed.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="no list of images in UTF-8"):
        read_manifest([listed], Columns())


def test_lists_name_what_files_may_be_called(tmp_path, monkeypatch):
    """What ends a line for Python's splitlines, and is stripped, may be in names."""
    monkeypatch.setattr(storage, "PAUSE", 0.01)
    names = ["f\x0cf.png", "u\u2028v.png", "\xa0n.png", "q?x#1.png", "%41.png"]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(png(number))
    listed = tmp_path / "list.txt"
    bad = ["http://user:geheim@[bad/x.png?sig=geheim", "zero\0.png", "http://h:99999/x.png"]
    listed.write_text("\n".join([*names, *bad]), "utf-8")
    found = read_all([listed])
    wrong = {name: found.pop(name) for name in list(found)[len(names) :]}
    check(found, names)
    assert list(wrong) == ["http://***@[bad/x.png?***", *bad[1:]]
    assert "Invalid IPv6 URL" in wrong["http://***@[bad/x.png?***"]
    assert "cannot be opened: it is no name of a file: embedded null" in wrong["zero\0.png"]
    assert "geheim" not in str(wrong)


def test_a_pipe_is_not_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no pipes with names here")
    os.mkfifo(tmp_path / "a.png")
    assert "cannot be opened: it is a pipe or a device" in read_all([tmp_path])["a.png"]
    with pytest.raises(OSError, match="a pipe or a device"):
        image_size(tmp_path / "a.png")


def test_folders_that_are_left_out_are_told(tmp_path, monkeypatch, caplog):
    (tmp_path / "photos" / "closed").mkdir(parents=True)
    (tmp_path / "photos" / "a.png").write_bytes(png(0))
    os.symlink(tmp_path, tmp_path / "photos" / "around")
    check(read_all([tmp_path / "photos"]), ["a.png"])
    assert "1 x link to a folder, which may lead around: passed over" in caplog.text
    scandir = os.scandir

    def denied(path):
        if os.path.basename(path) == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(PermissionError, match="closed"):
        read_manifest([tmp_path / "photos"], Columns())


def test_files_of_other_kinds_are_refused(tmp_path):
    for name in ("s.tar.gz", "s.tgz", "m.CSV", "a.tfrecord-00000-of-00002.gz", "m.jsonl"):
        (tmp_path / name).write_bytes(png(0))
        with pytest.raises(ValueError, match=rf"{name} is no source of images: folders, .*\.tar"):
            read_manifest([tmp_path / name], Columns())
    with pytest.raises(ValueError, match=r"s\.zip\?\*\*\* is no source") as caught:
        read_manifest(["https://host/s.zip?sig=geheim"], Columns())
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("form", ["path", "bytes", "hub"])
def test_parquet_names_images_or_holds_them(form, tmp_path):
    ids = [30, 10, 20, 40, 50]
    if form == "path":
        for number in range(5):
            (tmp_path / f"{number}.png").write_bytes(png(number))
        table = pa.table({"key": ids, "where": [f"{number}.png" for number in range(5)]})
        columns = Columns("key", path="where")
    else:
        images = [png(number) for number in range(5)]
        if form == "hub":
            images = [{"bytes": one, "path": None} for one in images]
        table = pa.table({"key": ids, "picture": images})
        columns = Columns("key", content="picture")
    file = tmp_path / "images.parquet"
    pq.write_table(table, file, row_group_size=2)
    check(read_all([file], columns), ids)
    with pytest.raises(ValueError, match=r"no column 'id' of ids; it has key, .*--id names it"):
        read_manifest([file], Columns(path=columns.path, content=columns.content))
    pq.write_table(pa.table({"key": ids, "other": ids}), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"no column of path, url, bytes, image; it has key"):
        read_manifest([tmp_path / "b.parquet"], Columns("key"))
    with pytest.raises(ValueError, match="no column 'x'"):
        read_manifest([file], Columns("key", path="x"))


def test_what_is_no_parquet_and_rows_without_bytes(tmp_path):
    file = tmp_path / "a.parquet"
    file.write_bytes(b"no table")
    with pytest.raises((ValueError, OSError), match=r"a\.parquet"):
        read_manifest([file], Columns())
    pq.write_table(pa.table({"id": ["a", "b", "c"], "bytes": [png(0), None, b"text"]}), file)
    found = read_all([file])
    check({"a": found["a"]}, ["a"])
    assert "row 1 has no bytes of an image" in found["b"]
    assert "image 'c' cannot be read as an image" in found["c"]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), "string")]
)
def test_text_of_any_kind_names_images(kind, tmp_path):
    (tmp_path / "0.png").write_bytes(png(0))
    columns = {"id": pa.array(["a", "b"]), "path": pa.array(["0.png", None])}
    table = pa.table({name: values.cast(kind) for name, values in columns.items()})
    pq.write_table(table, tmp_path / "m.parquet")
    found = read_all([tmp_path / "m.parquet"])
    assert found.pop("b") == "image 'b' has no path."
    check(found, ["a"])


@pytest.mark.parametrize(
    "kind",
    [pa.large_binary(), pa.binary_view(), pa.binary(len(png(0))), pa.dictionary("int8", "binary")],
)
def test_bytes_of_any_kind_are_images(kind, tmp_path):
    table = pa.table({"id": [1, 2], "bytes": pa.array([png(0), None], "binary").cast(kind)})
    pq.write_table(table, tmp_path / "m.parquet")
    found = read_all([tmp_path / "m.parquet"])
    assert "row 1 has no bytes" in found.pop(2)
    check(found, [1])


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("path", [b"a.png"], "column 'path' is binary, and paths are text"),
        ("path", [1], "column 'path' is int64, and paths are text"),
        ("path", [["a.png"]], "column 'path' is list<.*, and paths are text"),
        ("bytes", ["a.png"], "column 'bytes' is string, and the bytes of images are binary"),
        ("image", ["a.png"], "column 'image' is string, .*--path a column of paths"),
        ("image", [{"path": "a.png"}], "column 'image' is struct<.*, and the bytes"),
    ],
)
def test_columns_of_other_kinds_are_refused(column, values, told, tmp_path):
    """Before each of their rows is an error."""
    pq.write_table(pa.table({"id": [1], column: values}), tmp_path / "m.parquet")
    with pytest.raises(ValueError, match=rf"m\.parquet: {told}"):
        read_manifest([tmp_path / "m.parquet"], Columns())


def test_parquet_files_that_are_odd(tmp_path):
    file = tmp_path / "m.parquet"
    for names in (["id", "id", "path"], ["id", "path", "path"], ["id", "bytes", "bytes"]):
        pq.write_table(pa.Table.from_arrays([pa.array(["1"])] * 3, names), file)
        with pytest.raises(ValueError, match=rf"m\.parquet has several columns '{names[1]}'"):
            read_manifest([file], Columns())
    table = pa.table({"id": list(range(900)), "path": [f"{n}.png" for n in range(900)]})
    pq.write_table(table.slice(0, 0), file)
    with pytest.raises(ValueError, match=r"there is no image in .*m\.parquet"):
        read_manifest([file], Columns())
    pq.write_table(table, file)
    content = bytearray(file.read_bytes())
    content[4:300] = b"\xff" * 296
    file.write_bytes(content)
    with pytest.raises(OSError, match=r"m\.parquet cannot be read: "):
        read_manifest([file], Columns())
    pq.write_table(pa.table({"id": ["x" * 9999] * 2, "path": ["a.png"] * 2}), file)
    with pytest.raises(ValueError, match=r"same id: 'x{79}\.\.\. \(2 times\)"):
        read_manifest([file], Columns())


def write_tar(path, names):
    with tarfile.open(path, "w") as tar:
        for number, name in enumerate(names):
            for ending, content in ((".cls", b"7"), (".png", png(number))):
                member = tarfile.TarInfo(name + ending)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def test_images_of_webdatasets_tar_files(tmp_path):
    path = tmp_path / "shard-0.tar"
    write_tar(path, ["x/000", "x/001", "002"])
    check(read_all([path]), [f"shard-0.tar/{name}.png" for name in ("x/000", "x/001", "002")])
    assert places([path]) == [str(tmp_path)]
    whole = path.read_bytes()
    # In a member's data, in its header, between two; a header that is none; no member is lost.
    for damaged in (whole[:2600], whole[:2100], whole[:2048], whole[:2048] + b"x" * 512 + whole):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"shard-0.tar cannot be read as a tar file"):
            read_manifest([path], Columns())
    path.write_bytes(whole + whole)
    with pytest.raises(ValueError, match="another tar file follows in it"):
        read_manifest([path], Columns())
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match="cannot be read as a tar file that is not compressed"):
        read_manifest([path], Columns())
    write_tar(path, [])
    with pytest.raises(ValueError, match="has no image"):
        read_manifest([path], Columns())


def test_links_in_tar_files_are_images_too(tmp_path):
    """Of two hard links tar keeps one file, and a link for the other."""
    path = tmp_path / "s.tar"
    links = [
        ("hard.png", tarfile.LNKTYPE, "./sub/a.png"),
        ("sub/soft.png", tarfile.SYMTYPE, "../hard.png"),
        ("no.png", tarfile.SYMTYPE, "/elsewhere.png"),
        ("round.png", tarfile.SYMTYPE, "round.png"),
        ("text.md", tarfile.SYMTYPE, "hard.png"),
    ]
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("./sub/a.png")
        member.size = len(png(0))
        tar.addfile(member, io.BytesIO(png(0)))
        for name, kind, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
    found = read_all([path])
    for name in ("no", "round"):
        assert found.pop(f"s.tar/{name}.png") == f"image 's.tar/{name}.png' has no path."
    assert list(found) == ["s.tar/sub/a.png", "s.tar/hard.png", "s.tar/sub/soft.png"]
    for image in found.values():
        np.testing.assert_array_equal(image, pixels_of(0))
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("hard.png")
        member.type, member.linkname = tarfile.SYMTYPE, "no.png"
        tar.addfile(member)
    with pytest.raises(ValueError, match=r"same id: 's\.tar/hard\.png' \(2 times\)"):
        read_manifest([path], Columns())


def test_sparse_files_in_tar_files_are_refused(tmp_path):
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a.png")
        content = b"1\n0\n10\n".ljust(512, b"\0") + png(0)[:10]  # GNU's format 1.0
        member.size = len(content)
        member.pax_headers = {
            "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "99",
        }  # fmt: skip
        tar.addfile(member, io.BytesIO(content))
    with pytest.raises(ValueError, match=r"s\.tar cannot be read .*: a\.png is sparse"):
        read_manifest([path], Columns())


def write_records(path, examples):
    tf = pytest.importorskip("tensorflow")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example)


def example_of(content, name, number):
    tf = pytest.importorskip("tensorflow")
    feature = tf.train.Feature
    features = {
        "image/encoded": feature(bytes_list=tf.train.BytesList(value=[content])),
        "image/name": feature(bytes_list=tf.train.BytesList(value=[name.encode()])),
        "image/number": feature(int64_list=tf.train.Int64List(value=[number, 3])),
        "image/scale": feature(float_list=tf.train.FloatList(value=[0.5])),
        "image/none": feature(bytes_list=tf.train.BytesList()),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def test_images_of_tfrecord_files(tmp_path):
    """TensorFlow writes them, and is not asked to read them."""
    path = tmp_path / "a.tfrecord"
    examples = [example_of(png(number), f"n{number}", number - 1) for number in range(3)]
    write_records(path, examples)
    check(read_all([path]), [f"a.tfrecord/{number:08d}" for number in range(3)])
    check(read_all([path], Columns("image/name")), ["n0", "n1", "n2"])
    shard = path.rename(tmp_path / "a.tfrecord-00000-of-00001")  # tensorflow-datasets' way
    check(read_all([shard]), [f"{shard.name}/{number:08d}" for number in range(3)])
    shard.rename(path)
    check(read_all([path], Columns("image/number")), [-1, 0, 1])
    wrong = read_all([path], content="image/number")
    assert set(wrong.values()) == {
        f"image 'a.tfrecord/{number:08d}' has no feature 'image/number' with bytes."
        for number in range(3)
    }
    assert feature_of(examples[0], "image/none") is None
    assert feature_of(examples[0], "image/scale") is None
    assert feature_of(examples[0], "other") is None
    for cut in (1, 7, len(examples[0]) - 1):
        with pytest.raises(ValueError, match=r"no tf\.train\.Example"):
            feature_of(examples[0][:cut] + b"\xff" * 12, "other")
    with pytest.raises(ValueError, match=r"record 0 has no feature 'other' of one value"):
        read_manifest([path], Columns("other"))


def test_tfrecord_files_that_are_damaged(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, [example_of(png(0), "a", 1), b"no example"])
    assert read_all([path])["a.tfrecord/00000001"] == (
        "image 'a.tfrecord/00000001': it is no tf.train.Example."
    )
    with pytest.raises(ValueError, match=r"a\.tfrecord, record 1: it is no tf\.train\.Example"):
        read_manifest([path], Columns("image/name"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(ValueError, match="is cut off within the record at byte"):
        read_manifest([path], Columns())
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])  # another length than its sum says
    with pytest.raises(ValueError, match="at byte 0 there is no length of a record"):
        read_manifest([path], Columns())


def test_a_column_that_no_source_has(tmp_path):
    """It would be passed over in silence."""
    for name, words in (
        ("--id 'a'", {"id": "a"}), ("--path 'a'", {"path": "a"}), ("--bytes 'a'", {"content": "a"}),
    ):  # fmt: skip
        (tmp_path / "0.png").write_bytes(png(0))
        with pytest.raises(ValueError, match=f"{name} is of files that end in .parquet.*; got /"):
            read_manifest([tmp_path], Columns(**words))
        with pytest.raises(ValueError, match=r"got protocol-of-none://\*\*\*@folder"):
            read_manifest(["protocol-of-none://user:geheim@folder"], Columns(**words))
    pq.write_table(pa.table({"a": ["b"], "path": ["0.png"]}), tmp_path / "m.parquet")
    found = read_all([tmp_path, tmp_path / "m.parquet"], Columns("a"))
    assert list(found) == ["0.png", "b"]


def test_ids_are_of_one_image_each(tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["a", "b", "a", "c", "b", "a"], "path": ["x.png"] * 6}), file)
    with pytest.raises(ValueError, match=r"have the same id: 'a' \(3 times\), 'b' \(2 times\)\."):
        read_manifest([file], Columns())
    pq.write_table(pa.table({"id": list("abcdabcd"), "path": ["x.png"] * 8}), file)
    with pytest.raises(ValueError, match=r"'c' \(2 times\) and 1 more"):
        read_manifest([file], Columns())
    for ids, told in (
        (["a", ""], "''"), (["a", None], "None"), ([False, True], "False"), ([0.5, 1.5], "0.5"),
        ([b"a", b"b"], "b'a'"), (pa.array([1, 1 << 63], "uint64"), str(1 << 63)),
    ):  # fmt: skip
        pq.write_table(pa.table({"id": ids, "path": ["y.png", "y.png"]}), file)
        with pytest.raises(ValueError, match=rf"ids are text or integers.*got {told} for .*y.png"):
            read_manifest([file], Columns())
    (tmp_path / "list.txt").write_text("a.png")
    pq.write_table(pa.table({"id": [1], "path": ["x.png"]}), file)
    with pytest.raises(ValueError, match="ids of all images are text, or all are integers"):
        read_manifest([file, tmp_path / "list.txt"], Columns())


def test_an_object_store(tmp_path):
    """fsspec's file system in memory stands in for one."""
    system = fsspec.filesystem("memory")
    for number in range(3):
        system.pipe_file(f"/store/photos/{number}.png", png(number))
    system.pipe_file("/store/photos/readme.md", b"")
    check(read_all(["memory://store/photos"]), ["0.png", "1.png", "2.png"])
    write_tar(tmp_path / "s.tar", ["a", "b"])
    system.pipe_file("/store/s.tar", (tmp_path / "s.tar").read_bytes())
    check(read_all(["memory://store/s.tar"]), ["s.tar/a.png", "s.tar/b.png"])
    system.pipe_file("/store/list.txt", b"photos/0.png\n")
    check(read_all(["memory://store/list.txt"]), ["photos/0.png"])
    with pytest.raises(ValueError, match="nosuch://"):
        read_manifest(["nosuch://bucket/key.png/"], Columns())


class Handler(http.server.SimpleHTTPRequestHandler):
    failures = 0
    asked = 0

    def send_head(self):  # of GET and HEAD
        Handler.asked += 1
        if "closed" in self.path:
            self.send_error(403)
            return None
        if Handler.failures:
            Handler.failures -= 1
            self.send_error(503)
            return None
        return super().send_head()

    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A server of a folder of images; its address."""
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(storage, "PAUSE", 0.01)
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    handler = functools.partial(Handler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://user:geheim@127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_images_by_http_and_no_secret_in_errors(web, tmp_path):
    urls = tmp_path / "urls.txt"
    urls.write_text("".join(f"{web}/{name}.png?sig=geheim{name}\n" for name in (0, 1, "none")))
    manifest = tmp_path / "m.parquet"
    addresses = urls.read_text().split()
    pq.write_table(pa.table({"id": [0, 1, 2], "url": addresses}), manifest)
    Handler.failures = 2  # which is tried again
    found = read_all([manifest])
    error = found.pop(2)
    check(found, [0, 1])
    assert "there is no 'http://***@127.0.0.1" in error
    urls.write_text("\n".join(f"{web}/none.png?{n}" for n in range(3)))
    with pytest.raises(ValueError, match="none") as caught:  # three of one id, without their query
        read_manifest([urls], Columns())
    assert "geheim" not in error + str(caught.value)
    assert places([f"{web}/list.txt?key=geheim"])[0].endswith("/list.txt?***")
    # Slashes of a query are none of the address, and another day it has others.
    (place,) = places([f"{web}/s.tar?sig=ge/heim", f"{web}/t.tar?sig=geheim"])
    assert place == web.replace("user:geheim", "***")
    urls.write_text("0.png\n1.png")
    check(read_all([f"{web}/urls.txt?sig=ge/heim"]), ["0.png", "1.png"])


def test_what_fails_by_http_is_told_and_tried_again(web, tmp_path):
    """fsspec takes each answer but a good one for a missing file."""
    urls = tmp_path / "urls.txt"
    urls.write_text(f"{web}/0.png")
    Handler.failures = 4  # of HEAD and GET, twice
    (image,) = read_all([urls]).values()
    np.testing.assert_array_equal(image, pixels_of(0))
    Handler.failures = 6
    (error,) = read_all([urls]).values()
    assert "0.png cannot be read: ClientResponseError: 503" in error
    assert Handler.failures == 0
    urls.write_text(f"{web}/closed.png?sig=geheim")
    Handler.asked = 0
    (error,) = read_all([urls]).values()
    assert "closed.png?*** cannot be read: ClientResponseError: 403" in error
    assert "geheim" not in error
    assert Handler.asked == 2  # and not again
    urls.write_text("http://127.0.0.1:9/0.png")
    (error,) = read_all([urls]).values()
    assert "0.png cannot be read: Connect call failed" in error


def test_shards_by_http_are_named_without_their_query(web, tmp_path):
    write_tar(tmp_path / "s.tar", ["a"])
    assert list(read_all([f"{web}/s.tar?sig=geheim"])) == ["s.tar/a.png"]


def test_secrets_of_other_errors_are_hidden():
    url = "s3://key:geheim@bucket/a.png?token=geheim"
    with pytest.raises(OSError, match="cannot be read") as caught, storage.discreetly(url):
        raise RuntimeError(f"403 of {url}: token=geheim")
    assert "geheim" not in str(caught.value)
    assert caught.value.__suppress_context__
    told = r"\*\*\*@bucket/a.png\?\*\*\* cannot be written: No space"
    with pytest.raises(OSError, match=told), storage.discreetly(url, "written"):
        raise OSError(28, "No space left on device")


def test_what_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(storage, "PAUSE", 0.01)
    fsspec.filesystem("memory").pipe_file("/large/a.png", bytes((1 << 20) + 1))
    found = read_all(["memory://large/a.png"])
    (error,) = found.values()
    assert "has more than 1 MiB, which no image here may have" in error


def test_parts_of_files_that_are_too_short(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert storage.read(str(tmp_path / "a"), 1, 3) == b"234"
    with pytest.raises(OSError, match="ends within the image"):
        storage.read(str(tmp_path / "a"), 3, 3)


def test_a_stored_image_is_read_by_threads_as_a_file_is(tmp_path):
    content = png(3)
    stored = [Stored("x", lambda: content), Stored("https://host/y", lambda: b"text")]
    (files,) = read_in_batches(stored, load_image, 4)
    np.testing.assert_array_equal(files[0].image, pixels_of(3))
    assert files[1].error.startswith("https://host/y cannot be read as an image")
    assert os.fspath(files[0].path) == "x"


def test_what_was_to_be_read_next_is_not_waited_for(monkeypatch):
    """After Ctrl-C, when each image may take seconds to come."""
    monkeypatch.setattr(image_files, "processors", lambda: 1)
    begun = []

    def load(number):
        begun.append(number)
        time.sleep(0.05 if number > 3 else 0)
        return png(0)

    stored = [Stored(str(n), functools.partial(load, n)) for n in range(40)]
    batches = read_in_batches(stored, load_image, 4)
    next(batches)
    batches.close()
    assert len(begun) <= 6  # of 9 that were asked for: a batch, and what was being read
