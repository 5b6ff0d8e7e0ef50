"""Videos: `keras-pvt predict`, `detect` and `segment` on frames, and the files that they draw."""

import argparse
import json
import pathlib
import signal
import struct
from fractions import Fraction

import av
import keras
import numpy as np
import pytest
from PIL import Image

import keras_pvt
from keras_pvt.cli import main, media
from keras_pvt.segmentation.trained import TrainedSegmenter
from keras_pvt.utils import video
from keras_pvt.utils.image_files import image_files
from keras_pvt.utils.video import TICKS, Video, VideoWriter, camera, is_video

pytestmark = pytest.mark.one_backend("what commands print and draw")

HEIGHT, WIDTH, COUNT, RATE = 48, 64, 12, 10
CLASSES = ("red", "green", "blue")


def pictures(height=HEIGHT, width=WIDTH, count=COUNT):
    """Smooth ones, all different, whose mean colours are too."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    numbers = range(count)
    waves = [np.stack([np.sin(9 * x + n), np.cos(7 * y + n), np.sin(5 * x * y + 2 * n)], -1)
             for n in numbers]  # fmt: skip
    return [np.uint8(127.5 + 127.5 * wave) for wave in waves]


def make(path, images, codec="ffv1", pixels="bgr0", times=None, **options):
    """Write a video; frame n is at n / RATE seconds."""
    times = [n / RATE for n in range(len(images))] if times is None else times
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for image, time in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            frame.duration = 1000 // RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def facts(path):
    """Frames of a drawn video, its times and its rate, by PyAV alone."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(f.to_ndarray(format="rgb24"), float(f.time)) for f in container.decode(stream)]
        return [f for f, _ in frames], [t for _, t in frames], stream


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make(tmp_path_factory.mktemp("clip") / "clip.mkv", pictures())


@pytest.fixture(scope="module")
def stills(tmp_path_factory):
    """The frames of `clip` as PNG files, in order."""
    folder = tmp_path_factory.mktemp("stills")
    for n, image in enumerate(pictures()):
        Image.fromarray(image).save(folder / f"{n:02}.png")
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = keras_pvt.PVTNano(weights=None, classes=3, include_preprocessing=True)
    for variable in model.trainable_variables:
        variable.assign(variable + keras.random.normal(variable.shape, stddev=0.05))
    path = tmp_path_factory.mktemp("classifier") / "model.keras"
    keras_pvt.save_model(model, path, classes=["ant", "bee", "cow"])
    return str(path)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    """The class of a pixel is its strongest colour."""
    path = tmp_path_factory.mktemp("segmenter") / "segmenter.keras"
    images = keras.Input((None, None, 3))
    x = keras.layers.Identity(name="preprocessing")(images)
    model = keras.Model(images, keras.layers.Conv2D(3, 1, use_bias=False)(x))
    model.set_weights([np.eye(3, dtype="float32")[None, None]])
    TrainedSegmenter(model, CLASSES).save(path)
    return str(path)


@pytest.fixture(scope="module")
def finder(tmp_path_factory):
    """A RetinaNet that nobody has trained."""
    keras.utils.set_random_seed(1)
    backbone = keras_pvt.PVTBackbone("pvt_nano", weights=None, include_preprocessing=True)
    model = keras_pvt.detection.RetinaNet(backbone, 3)
    generator = np.random.default_rng(1)
    for variable in model.trainable_variables:
        values = keras.ops.convert_to_numpy(variable)
        values = np.where(values < -4, 0, values)  # the bias by which no class is likely
        variable.assign(values + generator.normal(scale=0.05, size=values.shape))
    path = tmp_path_factory.mktemp("finder") / "model.keras"
    keras_pvt.detection.Detector(model, "keras_pvt", list(CLASSES), (64, 96)).save(path)
    return str(path)


def lines(capsys, *words):
    """Exit status, lines of stdout split at tabs, and stderr."""
    status = main([*map(str, words), "--engine", "keras"])
    out, err = capsys.readouterr()
    return status, [line.split("\t") for line in out.splitlines()], err


def records(capsys, *words):
    status = main([*map(str, words), "--json", "--engine", "keras"])
    assert status == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# Reading


def test_frames_are_exact_with_number_and_time(clip):
    frames = list(Video(clip).frames())
    assert [frame.number for frame in frames] == list(range(COUNT))
    assert [frame.seconds for frame in frames] == pytest.approx([n / RATE for n in range(COUNT)])
    assert all(frame.error is None and frame.path == clip for frame in frames)
    for frame, image in zip(frames, pictures(), strict=True):
        np.testing.assert_array_equal(frame.image, image)


def test_each_nth_frame(clip):
    frames = list(Video(clip).frames(every=5))
    assert [frame.number for frame in frames] == [0, 5, 10]
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.5, 1.0])
    assert frames[0].rate == Fraction(RATE, 5)
    np.testing.assert_array_equal(frames[1].image, pictures()[5])


def test_times_of_a_variable_rate_count_from_the_first_frame(tmp_path):
    times = [0.4, 0.5, 0.9, 1.0, 2.5]
    path = make(tmp_path / "v.mkv", pictures(count=5), times=times)
    found = [frame.seconds for frame in Video(path).frames()]
    assert found == pytest.approx([time - 0.4 for time in times])


# The matrices a, b, c, d of ISO 14496-12 that turn and mirror, and what they do.
TURNS = {
    "none": ((1, 0, 0, 1), lambda x: x),
    "right": ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    "left": ((0, -1, 1, 0), np.rot90),
    "half": ((-1, 0, 0, -1), lambda x: x[::-1, ::-1]),
    "mirror": ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "upside": ((1, 0, 0, -1), lambda x: x[::-1]),
    "diagonal": ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
}


@pytest.mark.parametrize("turn", TURNS)
def test_the_display_matrix_turns_frames(turn, tmp_path):
    path = make(tmp_path / "phone.mp4", pictures(count=2), "libx264", "yuv420p")
    (plain, *_) = (frame.image for frame in Video(path).frames())
    content = bytearray(path.read_bytes())
    (a, b, c, d), expected = TURNS[turn]
    matrix = struct.pack(">9i", *(65536 * v for v in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    start = content.index(b"tkhd") + 4 + 40
    content[start : start + 36] = matrix
    path.write_bytes(content)
    first = next(Video(path).frames())
    np.testing.assert_array_equal(first.image, expected(plain))
    assert first.image.flags.c_contiguous


def test_colours_of_television_are_told_apart(tmp_path):
    """YUV of BT.709, so tagged, becomes the RGB that it was made of."""
    image = np.tile(np.uint8([200, 40, 90]), (HEIGHT, WIDTH, 1))
    path = tmp_path / "hd.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert abs(next(Video(path).frames()).image.astype(int) - image).max() <= 4


def cut(path, share=0.6):
    content = path.read_bytes()
    short = path.with_name(f"cut{path.suffix}")
    short.write_bytes(content[: int(share * len(content))])
    return short


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [
        ("a.mkv", "ffv1", "bgr0", {}),
        ("a.mp4", "libx264", "yuv420p", {"movflags": "faststart"}),
        ("a.webm", "libvpx-vp9", "yuv420p", {}),
        ("a.avi", "rawvideo", "bgr24", {}),
    ],
)
def test_a_video_cut_off_is_read_as_far_as_it_goes(name, codec, pixels, options, tmp_path):
    whole = make(tmp_path / name, pictures(), codec, pixels, **options)
    assert not any(frame.error for frame in Video(whole).frames())
    *frames, last = Video(cut(whole)).frames()
    assert 2 <= len(frames) < COUNT
    assert all(frame.error is None for frame in frames)
    assert last.image is None
    assert "cut off" in last.error
    assert str(tmp_path) in last.error


def test_no_video_is_one_clear_line(tmp_path):
    text, audio, short = tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "c.mp4"
    text.write_text("no video\n" * 100)
    with av.open(str(audio), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), "float32"), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    make(short, pictures(), "libx264", "yuv420p")
    for path, reason in (
        (text, "Invalid data"),
        (audio, "no video stream"),
        (cut(short), "Invalid data"),  # what says where frames are comes last
        (tmp_path / "nowhere.mp4", "No such file"),
    ):
        (only,) = Video(path).frames()
        assert only.image is None
        assert only.error.startswith(f"{path} cannot be read as a video: ")
        assert reason in only.error


def test_too_many_pixels_are_an_error(clip, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    (only,) = Video(clip).frames()
    assert "64 x 48 pixels" in only.error


def test_a_playlist_in_disguise_opens_nothing_else(clip, tmp_path):
    path = tmp_path / "list.mp4"
    path.write_text(f"ffconcat version 1.0\nfile 'http://127.0.0.1:9/{clip.name}'\n")
    (only,) = Video(path).frames()
    assert only.error


@pytest.mark.parametrize("name", ["clip.mkv", "video", "video.png"])
def test_videos_are_known_by_content(name, clip, tmp_path):
    path = tmp_path / name
    path.write_bytes(clip.read_bytes())
    assert is_video(path)


def test_what_is_no_video(tmp_path):
    picture = Image.fromarray(pictures()[0])
    for name, format in {"a.mp4": "png", "b.mov": "jpeg", "c.avif": "avif", "d.gif": "gif"}.items():
        picture.save(tmp_path / name, format)
        assert not is_video(tmp_path / name), name
    (tmp_path / "text.txt").write_text("a")
    assert not is_video(tmp_path / "text.txt")
    assert is_video(tmp_path / "nowhere.mp4")


# Writing


@pytest.mark.parametrize("codec", video.CODECS)
@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_written_videos_have_the_pictures_at_their_times(codec, size, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "CODECS", {codec: video.CODECS[codec]})
    path = tmp_path / "out.mp4"
    images, times = pictures(*size), [0, 0.1, 0.2, 0.5, *(0.6 + n / 10 for n in range(COUNT - 4))]
    with VideoWriter(path, Fraction(RATE)) as writer:
        for image, time in zip(images, times, strict=True):
            writer.write(Image.fromarray(image), time)
        assert not path.exists()
    found, seconds, _ = facts(path)
    assert seconds == pytest.approx(times, abs=1 / TICKS)
    assert found[0].shape == (48, 64, 3)
    for own, image in zip(found, images, strict=True):
        assert abs(own[: size[0], : size[1]] - image.astype(float)).mean() < 6
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]


def test_rate_and_size_are_those_of_the_source(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, Fraction(30000, 1001)) as writer:
        for n, image in enumerate(pictures()):
            picture = Image.fromarray(image)
            writer.write(picture if n < 6 else picture.resize((30, 30)), n * 1001 / 30000)
    found, _, stream = facts(path)
    assert stream.average_rate == Fraction(30000, 1001)
    assert len(found) == COUNT
    assert {image.shape for image in found} == {(48, 64, 3)}


@pytest.mark.parametrize(
    ("error", "kept"), [(KeyboardInterrupt, True), (BrokenPipeError, True), (ValueError, False)]
)
def test_an_interrupted_video_is_whole_and_a_failed_one_is_not_there(error, kept, tmp_path):
    path = tmp_path / "out.mp4"
    path.write_text("before")

    def fail():
        with VideoWriter(path, Fraction(RATE)) as writer:
            for n, image in enumerate(pictures()[:5]):
                writer.write(Image.fromarray(image), n / RATE)
            raise error

    with pytest.raises(error):
        fail()
    if kept:
        assert len(facts(path)[0]) == 5
    else:
        assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]


# Commands


def test_predictions_of_frames_are_those_of_their_pictures(classifier, clip, stills, capsys):
    words = ["--model", classifier, "--batch-size", 5]
    frames = records(capsys, "predict", clip, *words)
    images = records(capsys, "predict", stills, *words)
    assert [entry["frame"] for entry in frames] == list(range(COUNT))
    assert [entry["time"] for entry in frames] == [n / RATE for n in range(COUNT)]
    assert [entry["predictions"] for entry in frames] == [e["predictions"] for e in images]
    values = {entry["predictions"][0]["probability"] for entry in images}
    assert len(values) == COUNT


def test_predict_draws_the_best_class(classifier, clip, tmp_path, capsys):
    out = tmp_path / "new" / "named.mp4"
    words = ["--model", classifier, "--top", 1, "--every", 3, "--out", out]
    status, found, err = lines(capsys, "predict", clip, *words)
    assert status == 0
    assert [line[:3] for line in found] == [
        [str(clip), str(n), f"{n / RATE:.3f}"] for n in (0, 3, 6, 9)
    ]
    assert f"drawn: {out}\n" in err
    images, times, stream = facts(out)
    assert times == pytest.approx([0, 0.3, 0.6, 0.9])
    assert stream.average_rate == pytest.approx(RATE / 3)
    # The caption is dark in the upper left corner, and nothing is changed below.
    assert images[1][1:3, :3].mean() < 60
    assert abs(images[1][30:] - pictures()[3][30:].astype(float)).mean() < 6


def test_detections_of_frames_are_those_of_their_pictures(finder, clip, stills, tmp_path, capsys):
    words = ["--model", finder, "--threshold", 0, "--engine", "keras", "--batch-size", 2, "--json"]
    numbers = range(0, COUNT, 4)
    found = []
    for given, out in (
        ([clip, "--every", 4], tmp_path / "drawn.mp4"),
        ([stills / f"{n:02}.png" for n in numbers], tmp_path / "drawn"),
    ):
        assert main(list(map(str, ["detect", *given, *words, "--out", out]))) == 0
        found.append(json.loads(capsys.readouterr().out))
    own, expected = found
    assert len(expected) > len(numbers)
    assert [entry["image_id"] for entry in own] == [
        f"clip.mkv#{int(entry['file_name'][:2])}" for entry in expected
    ]
    assert all(entry["time"] == entry["frame"] / RATE for entry in own)
    for key in ("bbox", "score", "category_id"):
        assert [entry[key] for entry in own] == [entry[key] for entry in expected]
    images, _, stream = facts(tmp_path / "drawn.mp4")
    assert stream.average_rate == Fraction(RATE, 4)
    for n, image in zip(numbers, images, strict=True):
        still = np.array(Image.open(tmp_path / "drawn" / f"{n:02}.png"))
        assert abs(image - still.astype(float)).mean() < 25


def test_classes_of_pixels_are_those_of_the_pictures(segmenter, clip, stills, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--model", segmenter, "--out", out]
    frames = records(capsys, "segment", clip, stills / "03.png", *words)
    images = records(capsys, "segment", stills, *words)
    assert [entry["shares"] for entry in frames] == [e["shares"] for e in [*images, images[3]]]
    assert "frame" not in frames[-1]
    found, _, _ = facts(out / "clip.mp4")
    assert len(found) == COUNT
    # Below the frame is a legend with all classes.
    assert found[0].shape[0] > HEIGHT
    assert (out / "03.png").exists()


def test_what_is_cut_off_is_kept_and_reported(segmenter, clip, tmp_path, capsys):
    short, out = cut(make(tmp_path / "a.mkv", pictures())), tmp_path / "out.mp4"
    status, found, err = lines(capsys, "segment", short, "--model", segmenter, "--out", out)
    assert status == 1
    assert err.count("\n") == 2
    assert f"error: {short} is cut off: it ends after 0." in err
    frames = len({line[1] for line in found})
    assert 3 <= frames < COUNT
    assert len(facts(out)[0]) == frames


def test_a_video_that_cannot_be_read_stops_nothing(segmenter, clip, tmp_path, capsys):
    bad, out = tmp_path / "bad.mp4", tmp_path / "out"
    bad.write_text("no video")
    words = ["--model", segmenter, "--out", out, "--every", 6]
    status, found, err = lines(capsys, "segment", bad, clip, *words)
    assert status == 1
    assert {line[1] for line in found} == {"0", "6"}
    assert f"error: {bad} cannot be read as a video: Invalid data" in err
    assert [entry.name for entry in out.iterdir()] == ["clip.mp4"]


def test_ctrl_c_ends_a_camera_and_leaves_a_whole_file(segmenter, tmp_path, capsys, monkeypatch):
    """The camera is ffmpeg's test picture, without end."""
    source = Video(pathlib.Path("/dev/video7"), "testsrc=size=64x48:rate=10", "lavfi")
    monkeypatch.setattr(video, "camera", {"7": source}.get)
    write, before = VideoWriter.write, signal.getsignal(signal.SIGINT)

    def press(writer, picture, seconds):
        if seconds == pytest.approx(0.8):
            signal.raise_signal(signal.SIGINT)
        write(writer, picture, seconds)

    monkeypatch.setattr(VideoWriter, "write", press)
    out = tmp_path / "seen.mp4"
    status, found, _ = lines(capsys, "segment", "--camera", 7, "--model", segmenter, "--out", out)
    assert status == 0
    frames = len({line[1] for line in found})
    assert 9 <= frames <= 13
    assert found[0][:3] == ["/dev/video7", "0", "0.000"]
    assert len(facts(out)[0]) == frames
    assert signal.getsignal(signal.SIGINT) is before


def test_cameras_are_devices_and_urls(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    assert camera("2") == Video(pathlib.Path("/dev/video2"), "/dev/video2", "v4l2")
    assert camera("/dev/video4").url == "/dev/video4"
    found = camera("rtsp://me:secret@host/1")
    assert (found.url, str(found.path)) == ("rtsp://me:secret@host/1", "camera")
    (only,) = Video(pathlib.Path("/dev/video99"), "/dev/video99", "v4l2").frames()
    assert only.error.startswith("/dev/video99 cannot be read as a video: ")
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(ValueError, match="give a URL"):
        camera("0")


def given(*images, camera=None):
    return media.Media(argparse.Namespace(images=list(images), camera=camera, every=1))


def test_a_camera_gives_one_frame_at_a_time(clip, stills):
    assert given(camera="0").batch_size(None, 32) == 1
    assert given(camera="0").batch_size(4, 32) == 4
    assert given(clip).batch_size(None, 32) == 32
    assert given(stills).batch_size(None, 32) == COUNT
    assert given(stills).batch_size(5, 32) == 5
    assert (given(clip).count, given(stills).count) == (None, COUNT)


def test_frames_are_read_as_they_are_needed(clip, monkeypatch):
    """However long a video is, few of its frames are in memory."""
    read = []
    upright = video.upright
    monkeypatch.setattr(video, "upright", lambda frame: read.append(1) or upright(frame))
    from keras_pvt.utils.image_files import read_in_batches

    batches = read_in_batches(given(clip), lambda image: image, 2)
    assert [file.frame.number for file in next(batches)] == [0, 1]
    assert len(read) <= 2 * 2 + 3
    batches.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "either IMAGES or --camera"),
        (["clip", "--camera", "0"], "either IMAGES or --camera"),
        (["clip", "clip2", "--out", "a.mp4"], "is for one video; there are 2"),
        (["still", "--out", "a.mp4"], "is for one video; name a folder"),
        (["clip", "--out", "a.avi"], "is a folder to write to, or the .mp4 of one video"),
        (["still", "--out", "a.PNG"], "is a folder to write to, or the .mp4 of one video"),
        (["clip", "--labels"], "--labels are of images"),
    ],
)
def test_what_cannot_be_is_said(words, message, clip, stills, segmenter, tmp_path, capsys):
    other = make(tmp_path / "other.mkv", pictures(count=1))
    names = {"clip": clip, "clip2": other, "still": stills / "00.png"}
    words = [str(names.get(word, word)) for word in words]
    status, found, err = lines(capsys, "segment", *words, "--model", segmenter)
    assert (status, found) == (1, [])
    assert message in err
    assert err.count("\n") == 1


def test_a_video_is_not_written_over_itself(segmenter, tmp_path, capsys):
    path = make(tmp_path / "a.mp4", pictures(count=2), "libx264", "yuv420p")
    words = ["segment", path, "--model", segmenter, "--out"]
    status, _, err = lines(capsys, *words, path)
    assert status == 1
    assert "is the video itself" in err
    status, _, err = lines(capsys, *words, tmp_path)
    assert status == 0
    assert len(facts(tmp_path / "a-2.mp4")[0]) == 2


def test_without_pyav_it_is_said_what_to_install(clip, monkeypatch, stills):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ImportError, match=r"keras-pvt\[video\]"):
        given(clip)
    assert given(stills).files == image_files([stills])
