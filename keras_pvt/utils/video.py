"""Videos, by PyAV: frames as images, of files and cameras, and MP4 files made of pictures."""

import contextlib
import dataclasses
import errno
import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.files import replacing
from keras_pvt.utils.images import ImageError, check_pixels

ENDINGS = {
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
}
# How files of videos begin, beside ISO's, of which AVIF and HEIC are too.
_BEGIN = re.compile(
    rb"\x1aE\xdf\xa3|RIFF....AVI |FLV\x01|\x30\x26\xb2\x75\x8e\x66\xcf\x11|YUV4MPEG2 "
    rb"|\0\0\x01[\xb3\xba]|....ftyp(?!avi[fs]|hei[cfmsx]|hev[cmsx]|m[is]f1|M4[AB] )",
    re.DOTALL,
)
# Of written files, per second: a whole number of ticks for 24, 25, 30 and 60 frames, and for the
# 30000 / 1001 of television. MPEG-4 part 2 allows 65535.
TICKS = 60000
# The first that PyAV has. Its wheels have both.
CODECS = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qmax": "5"}}
_SMPTE170M, _LIMITED = 6, 1  # how RGB becomes YUV, by ffmpeg's numbers
RATE = 25  # frames per second where a source does not say


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame of a video, or why there are no more.

    Args:
        path: of the video.
        number: of the frame in the video, from 0.
        seconds: from the first frame.
        rate: frames per second, of those that are taken.
        image: uint8 `(H, W, 3)`, RGB; None where there is an error, and in results.
        error: what is wrong with the video, which ends here; or None.
    """

    path: pathlib.Path
    number: int
    seconds: float
    rate: Fraction
    image: np.ndarray | None = None
    error: str | None = None


@dataclasses.dataclass(frozen=True)
class Video:
    """A file, or a camera.

    Args:
        path: of the file or the device; names a camera that has none.
        url: of a camera, that ffmpeg opens; None: a file.
        format: of the camera, by ffmpeg's name; None: as the URL says.
    """

    path: pathlib.Path
    url: str | None = None
    format: str | None = None

    def frames(
        self, every: int = 1, stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[Frame]:
        """The frames one by one, turned as the container says.

        Args:
            every: take the first of so many frames.
            stopped: is asked before each frame whether to end there.
        Yields:
            Frames. If the video cannot be read, or not to its end, the last one has the error. Of
            packets that cannot be decoded the rest of a file is read too; a camera's are left out.
        Raises:
            ImportError: PyAV is not installed.
        """
        av = library()
        number, seconds, rate = 0, 0.0, Fraction(RATE)
        error = None
        try:
            with self._open(av) as container:
                stream = _stream(av, container)
                told = stream.average_rate or stream.guessed_rate or RATE
                rate = Fraction(told).limit_denominator(1001) / every
                packets = _Packets(av, container, stream)
                first = None
                for frame in packets.frames():
                    if stopped():
                        return
                    # Raw streams have no times.
                    time = float(number / (rate * every) if frame.time is None else frame.time)
                    first = time if first is None else first
                    seconds = time - first
                    if number % every == 0:
                        check_pixels(frame.width, frame.height)
                        yield Frame(self.path, number, seconds, rate, upright(frame))
                    number += 1
                if self.url is None:
                    error = packets.wrong(number)
        except (av.error.FFmpegError, ImageError) as cause:
            reason = getattr(cause, "strerror", None) or str(cause)
            after = f" after frame {number - 1} ({seconds:.3f} s)" if number else ""
            error = f"cannot be read as a video{after}: {reason}"
        if error is not None:
            yield Frame(self.path, number, seconds, rate, None, f"{self.path} {error}")

    def _open(self, av) -> Any:
        if self.url is not None:
            return av.open(self.url, format=self.format, metadata_errors="replace")
        # A playlist that pretends to be a video reaches no network.
        local = {"protocol_whitelist": "file"}
        return av.open(f"file:{self.path}", options=local, metadata_errors="replace")


def is_video(path: pathlib.Path) -> bool:
    """Whether a file is a video, by how it begins, or by its name's ending if it is no image.

    Args:
        path: of the file; one that cannot be read is told by its name.
    """
    begin = b""
    if path.is_file():  # a pipe's would be lost
        with contextlib.suppress(OSError), path.open("rb") as file:
            begin = file.read(32).ljust(32, b"\0")
    if _BEGIN.match(begin):
        return True
    if path.suffix.lower() not in ENDINGS:
        return False
    Image.preinit()
    checks = [accept for _, accept in Image.OPEN.values() if accept is not None]
    return not begin or not any(check(begin) is True for check in checks)


def camera(text: str) -> Video:
    """The camera that a word names.

    Args:
        text: number of a Video4Linux device, its path, or a URL such as rtsp://HOST/PATH.
    Raises:
        ValueError: a number or a path on a system without Video4Linux.
    """
    if "://" in text:
        return Video(pathlib.Path("camera"), text)  # a URL may hold a password
    if sys.platform != "linux":
        raise ValueError("cameras by number or path are Linux's; give a URL, or record a file.")
    path = pathlib.Path(f"/dev/video{text}" if text.isdecimal() else text)
    return Video(path, str(path), "v4l2")


def library() -> Any:
    """PyAV.

    Raises:
        ImportError: it is not installed; says what to install.
    """
    with needed_for("reading videos", "video"):
        import av
    return av


def upright(frame) -> np.ndarray:
    """A frame as RGB, turned and mirrored by quarter turns as its display matrix says.

    Args:
        frame: of PyAV.
    Returns:
        uint8 `(H, W, 3)`.
    Source:
        ISO/IEC 14496-12, of the matrix in the header of a track: x' = a x + c y, y' = b x + d y.
    """
    image = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d = np.sign(np.frombuffer(bytes(matrix), "int32")[:5])
    if not a and not d:  # rows become columns
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: int(d) or 1, :: int(a) or 1])


class _Packets:
    """The packets of a stream, and what is wrong with them.

    Args:
        av: the library.
        container: open.
        stream: of the container.
    """

    def __init__(self, av, container, stream):
        self._av, self._container, self._stream = av, container, stream
        self.bad = 0
        self.end = Fraction(0)  # of the last packet, in seconds

    def frames(self) -> Iterator[Any]:
        """What can be decoded, in the order in which it is shown."""
        self._stream.thread_type = "AUTO"
        for packet in self._container.demux(self._stream):
            if packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                self.end = max(self.end, end)
            try:
                yield from packet.decode()
            except self._av.error.FFmpegError:
                self.bad += 1

    def wrong(self, count: int) -> str | None:
        """What an error says; None: nothing is wrong.

        Args:
            count: of the frames that were decoded.
        """
        if self.bad:
            return f"is damaged or cut off: {self.bad} of its packets cannot be decoded"
        if not count:
            return "has no frames"
        length = self._length()
        slack = max(Fraction(1, 10), 2 / Fraction(self._stream.average_rate or RATE))
        if length is None or self.end + slack >= length:
            return None
        return f"is cut off: it ends after {float(self.end):.3f} s of {float(length):.3f} s"

    def _length(self) -> Fraction | None:
        """The end of the stream in seconds, by the header."""
        stream = self._stream
        if stream.duration is not None:
            return (stream.duration + (stream.start_time or 0)) * stream.time_base
        parts = stream.metadata.get("DURATION", "").split(":")  # of Matroska
        with contextlib.suppress(ValueError):
            hours, minutes, seconds = map(Fraction, parts)
            return 3600 * hours + 60 * minutes + seconds
        whole = self._container.duration
        if whole is None or len(self._container.streams) > 1:
            return None
        return Fraction(whole + (self._container.start_time or 0), self._av.time_base)


def _stream(av, container) -> Any:
    for stream in container.streams.video:
        # The picture of a record's sleeve is a stream too.
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    raise ImageError("it has no video stream")


class VideoWriter:
    """Writes an MP4 file, in H.264 where PyAV has it. It has its name when it is whole.

    Leaving the context by Ctrl-C, or where the reader of stdout has enough, makes it whole too; by
    another error, leaves what was there. If nothing is written there is no file.

    Args:
        path: of the file.
        rate: frames per second, which tells how long the last one is seen.
    """

    def __init__(self, path: pathlib.Path, rate: Fraction):
        self.path, self.rate = path, rate
        self._place = replacing(path)
        self._container: Any = None
        self._last = -1

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, picture: Image.Image, seconds: float) -> None:
        """Add a picture.

        Args:
            picture: RGB; is scaled to the size of the first one. Odd sides become even, which
                H.264 wants, by a repeated row or column.
            seconds: when it is shown, after the one before.
        Raises:
            OSError: the file cannot be written.
        """
        av = library()
        if self._container is None:
            self._start(av, picture.size)
        if picture.size != self._size:
            picture = picture.resize(self._size)
        width, height = self._size
        image = np.pad(np.asarray(picture), ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        self._last = max(self._last + 1, round(seconds * TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        frame.duration = max(1, round(TICKS / self.rate))
        self._container.mux(self._stream.encode(frame))

    def _start(self, av, size: tuple[int, int]) -> None:
        codecs = [name for name in CODECS if name in av.codecs_available]
        if not codecs:
            raise OSError(errno.ENOSYS, f"PyAV has no encoder of {', '.join(CODECS)}")
        self._size = size
        temporary = self._place.__enter__()
        self._container = av.open(str(temporary), "w", format="mp4")
        self._stream = self._container.add_stream(
            codecs[0], rate=self.rate, options=CODECS[codecs[0]]
        )
        self._stream.width, self._stream.height = (side + side % 2 for side in size)
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = Fraction(1, TICKS)
        context.colorspace, context.color_range = _SMPTE170M, _LIMITED

    def __exit__(self, kind, error, trace) -> None:
        if self._container is None:
            return
        if kind is None or issubclass(kind, KeyboardInterrupt | BrokenPipeError):
            try:
                self._container.mux(self._stream.encode(None))
                self._container.close()
            except BaseException:
                self._place.__exit__(*sys.exc_info())
                raise
            self._place.__exit__(None, None, None)
        else:
            with contextlib.suppress(OSError):
                self._container.close()
            self._place.__exit__(kind, error, trace)
