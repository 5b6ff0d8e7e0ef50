"""What `keras-pvt predict`, `detect` and `segment` are given, and where they draw it: image files,
videos, or a camera."""

import argparse
import contextlib
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from keras_pvt.cli import arguments
from keras_pvt.cli.results import CLIP, pictures_of, say_where

if TYPE_CHECKING:  # it imports NumPy, which --help does without
    from keras_pvt.utils.video import Frame

EPILOG = """\
A video [video] gives a result for each frame, or for each Nth with --every N. The number of the
frame, from 0, and its time in seconds follow the file's name; in JSON they are "frame" and "time".
Videos in folders are skipped. --camera N reads /dev/videoN until Ctrl-C, one frame at a time unless
--batch-size is larger; the file drawn until then is complete. If a video is damaged or truncated,
every frame that can be decoded is processed, the video is reported, and the exit status is 1.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of videos and cameras; `Media` reads them."""
    parser.add_argument(
        "--camera",
        metavar="N|PATH|URL",
        help="a webcam instead of files: number or path of a Video4Linux device, or a URL",
    )
    parser.add_argument(
        "--every",
        type=arguments.positive,
        default=1,
        metavar="N",
        help="process each Nth frame of a video (default: %(default)s)",
    )


class Media:
    """Image files, videos and frames of a camera, in the order in which they were given.

    Args:
        options: of the command line, with `images`, `camera` and `every`.
    Raises:
        ValueError: images and a camera, or neither; see `keras_pvt.utils.image_files.image_files`
            and `keras_pvt.utils.video.camera`.
        FileNotFoundError: there is no such file.
        ImportError: a video, and no PyAV.
    """

    def __init__(self, options: argparse.Namespace):
        from keras_pvt.utils.image_files import image_files
        from keras_pvt.utils.video import Video, camera, is_video, library

        if bool(options.images) == (options.camera is not None):
            raise ValueError("either IMAGES or --camera is wanted.")
        self._every = options.every
        self.live = options.camera is not None
        if self.live:
            found = camera(options.camera)
            self.videos = {found.path: found}
        else:
            named = (path for path in options.images if not path.is_dir() and is_video(path))
            self.videos = {path: Video(path) for path in named}
        self.files = [*self.videos] if self.live else image_files(options.images)
        if self.videos:
            library()

    @property
    def count(self) -> int | None:
        """How many images there are; None: videos have more than can be told."""
        return None if self.videos else len(self.files)

    def batch_size(self, asked: int | None, usual: int) -> int:
        """How many images a model gets at once.

        Args:
            asked: by the user; None: nothing.
            usual: of this command.
        """
        if self.live:
            return asked or 1  # else a result would wait for a whole batch
        size = asked or usual
        return min(size, self.count or size)

    def __iter__(self) -> "Iterator[pathlib.Path | Frame]":
        for file in self.files:
            if file not in self.videos:
                yield file
            elif self.live:
                with _until_interrupted() as stopped:
                    yield from self.videos[file].frames(self._every, stopped)
            else:
                yield from self.videos[file].frames(self._every)


@contextlib.contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """Tell whether Ctrl-C was pressed; pressed again, it interrupts as ever."""
    pressed = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def note(*_):
        pressed.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


class Drawings:
    """Where pictures go: a PNG for each image, an MP4 for each video.

    To be used as a context: leaving it ends the last video, see `VideoWriter`.

    Args:
        media: what is drawn.
        out: a folder; or, of one video alone, the .mp4.
    Raises:
        ValueError: an .mp4 for several files, or for one that is no video; it is the video itself;
            the name of an image, or of another video.
    """

    def __init__(self, media: Media, out: pathlib.Path):
        from keras_pvt.utils.image_files import by_ending
        from keras_pvt.utils.video import ENDINGS

        self.folder = out
        if out.suffix.lower() == CLIP and not out.is_dir():
            if [*media.videos] != media.files:
                raise ValueError(f"--out {out} is for one video; name a folder for other files.")
            if len(media.files) > 1:
                raise ValueError(f"--out {out} is for one video; there are {len(media.files)}.")
            if out.resolve() == media.files[0].resolve():
                raise ValueError(f"--out {out} is the video itself; give another name.")
            self.folder = out.parent
            self._paths = {media.files[0]: out}
        elif not out.is_dir() and (by_ending([out.name])[0] or out.suffix.lower() in ENDINGS):
            # A folder of that name is what nobody means.
            raise ValueError(f"--out {out} is a folder to write to, or the .mp4 of one video.")
        else:
            self._paths = pictures_of(media.files, out, media.videos)
        self.count = 0
        self._out = out
        self._writer: Any = None
        self._open = contextlib.ExitStack()

    def write(self, result: Any, picture: Any) -> None:
        """Write the picture of a result, which has a `path` and a `frame`; of a video in order."""
        from keras_pvt.utils.drawing import write_png
        from keras_pvt.utils.video import VideoWriter

        self.count += 1
        frame, path = result.frame, self._paths[result.path]
        if frame is None:
            write_png(picture, path)
            return
        if frame.number == 0:
            self._open.close()  # the video before
            self._writer = self._open.enter_context(VideoWriter(path, frame.rate))
        self._writer.write(picture, frame.seconds)

    def say(self, **others: pathlib.Path) -> None:
        """The last line, see `say_where`."""
        say_where(self.count, drawn=self._out, **others)

    def __enter__(self) -> "Drawings":
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *error) -> None:
        self._open.__exit__(*error)
