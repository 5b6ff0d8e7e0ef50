"""The page, and its server, which only this machine reaches; needs Gradio, the extra "app"."""

import html
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

from keras_pvt.app.models import MAX_PIXELS, Answer, ShownModel, export_formats
from keras_pvt.utils.extras import needed_for

# Gradio asks for its newest version, and counts its users, unless it is told before it is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

with needed_for("the page", "app"):
    import gradio as gr

HOST = "127.0.0.1"
MEGABYTES = 20  # of a file that is dropped
A_DAY = 86400  # seconds that files are kept
# Errors that say what is wrong with an image or a wish; others are the program's.
SAID = (ValueError, OSError, ImportError)
NO_IMAGE = "drop an image, or choose one"


class Page:
    """What the page does when something on it changes.

    Args:
        models: one, or several to be compared.
        folder: for what is exported.
    """

    def __init__(self, models: Sequence[ShownModel], folder: pathlib.Path):
        self.models, self.folder = list(models), folder

    def show(
        self,
        files: Sequence[tuple[str, Any]] | None,
        number: float,
        threshold: float,
        chosen: Sequence[str],
        attention: bool = False,
    ) -> list[Any]:
        """What each model makes of an image.

        Args:
            files: (path, caption) of what was dropped.
            number: index of the one that is shown; beyond the end it is the last.
            threshold: see `ShownModel.answer`, as `chosen`.
            chosen: names of classes.
            attention: whether to draw attention maps of classifiers.
        Returns:
            For each model a line of HTML, rows or (of a classifier) probabilities, and a picture;
            where there is an error, it is the line.
        """
        if not files:
            return [NO_IMAGE, None, None] * len(self.models)
        path = files[max(0, min(int(number), len(files) - 1))][0]
        shown: list[Any] = []
        for model in self.models:
            try:
                answer = model.answer(path, threshold, chosen)
                shown += self._filled(model, answer, path if attention else None)
            except SAID as error:
                shown += [_line(error), None, None]
        return shown

    @staticmethod
    def changed(
        files: Sequence[tuple[str, Any]] | None, count: float, number: float
    ) -> tuple[int, int]:
        """The image to show after files were added or removed.

        Args:
            files: that there are now.
            count: how many there were.
            number: index of the image that was shown.
        Returns:
            Index of the first new image, or `number` if none is new; and how many there are.
        """
        now = len(files or ())
        return int(count if now > count else number), now

    def _filled(self, model: ShownModel, answer: Answer, path: str | None) -> list[Any]:
        """An answer as the components take it; with attention to a file."""
        if not _is_classifier(model):
            rows = [[_rounded(value) for value in row] for row in answer.rows]
            return [html.escape(answer.note), rows, answer.picture]
        if path is None or not model.is_keras:
            return [html.escape(answer.note), dict(answer.rows), answer.picture]
        picture, note = model.attention(path)
        notes = filter(None, (answer.note, note))
        return [html.escape("; ".join(notes)), dict(answer.rows), picture]

    def export(self, title: str, format: str) -> tuple[str, list[str] | None]:
        """Export a model.

        Args:
            title: of the model.
            format: name of the format.
        Returns:
            A line of HTML, and the files; or an error as the line, and None.
        """
        try:
            n = [_title(self.models, n) for n in range(len(self.models))].index(title)
            files = self.models[n].export(format, self.folder / f"export-{n}")
        except SAID as error:
            return _line(error), None
        size = sum(file.stat().st_size for file in files)
        return html.escape(f"{files[0].name}: {size / 1e6:.1f} MB"), list(map(str, files))


def build(models: Sequence[ShownModel], folder: pathlib.Path) -> gr.Blocks:
    """The page of models.

    Args:
        models: one, or several to be compared.
        folder: for what is exported.
    Returns:
        What Gradio serves.
    """
    page = Page(models, folder)
    classes = list(dict.fromkeys(name for model in models for name in model.classes))
    attentive = any(_is_classifier(model) and model.is_keras for model in models)
    boxes = any("left" in model.columns for model in models)
    with gr.Blocks(
        title="keras-pvt", analytics_enabled=False, fill_width=True, delete_cache=(A_DAY, A_DAY)
    ) as blocks:
        gr.Markdown("## Pyramid Vision Transformer")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                files = gr.Gallery(
                    label="images",
                    file_types=["image"],
                    sources=["upload", "clipboard"],
                    type="filepath",
                    interactive=True,
                    columns=2,
                    height=220,
                    object_fit="cover",
                    allow_preview=False,
                    buttons=[],
                )
                gr.Markdown(
                    f"Up to {MEGABYTES} MB and {MAX_PIXELS / 1e6:.0f} million pixels each. A click "
                    "on an image shows it; the icons above add images, or remove all."
                )
                number = gr.Number(0, label="image", precision=0, visible=False)
                count = gr.Number(0, precision=0, visible=False)
                threshold = gr.Slider(
                    0,
                    1,
                    0.5 if boxes else 0,
                    step=0.01,
                    label="smallest probability or score",
                    visible=any(model.scored for model in models),
                )
                chosen = gr.Dropdown(
                    classes, multiselect=True, label="classes (none chosen: all)", value=[]
                )
                attention = gr.Checkbox(attentive, label="attention maps", visible=attentive)
                _add_export(page)
            with gr.Column(scale=3), gr.Row(equal_height=False):
                results = [part for n in range(len(models)) for part in _add_model(models, n)]
        wishes = [files, number, threshold, chosen, attention]
        work = {
            "inputs": wishes,
            "outputs": results,
            "concurrency_id": "model",
            "trigger_mode": "always_last",  # "once" drops what is asked for while the model works
        }

        def select(event: gr.SelectData) -> tuple[int, Any]:
            # While an image is selected, Gradio hides the icons that add others.
            return event.index, gr.Gallery(selected_index=None)

        # Gradio's `upload` comes in addition to `change`: each image would be shown twice.
        files.change(
            page.changed, [files, count, number], [number, count], api_visibility="private"
        ).then(page.show, **work, api_name="show")
        files.select(select, None, [number, files], api_visibility="private").then(
            page.show, **work, api_visibility="private"
        )
        for event in (threshold.release, chosen.change, attention.change):
            event(page.show, **work, api_visibility="private")
    return blocks


def _add_export(page: Page) -> None:
    titles = [_title(page.models, n) for n, model in enumerate(page.models) if model.is_keras]
    formats = export_formats()
    if not titles or not formats:
        return
    with gr.Accordion("export", open=False):
        title = gr.Dropdown(titles, value=titles[0], label="model", visible=len(titles) > 1)
        format = gr.Dropdown(list(formats), value=formats[0], label="format")
        button = gr.Button("export")
        line = gr.HTML(padding=False)
        files = gr.File(label="files", interactive=False, file_count="multiple")
    button.click(
        page.export, [title, format], [line, files], concurrency_id="model", api_name="export"
    )


def _add_model(models: Sequence[ShownModel], n: int) -> tuple[Any, Any, Any]:
    """The column of a model: a line, a table, a picture."""
    model = models[n]
    with gr.Column(min_width=320):
        gr.HTML(f"<b>{html.escape(_title(models, n))}</b>", padding=False)
        line = gr.HTML(NO_IMAGE, padding=False)
        table: Any
        if _is_classifier(model):
            table = gr.Label(show_label=False)
            picture = _picture()
        else:
            picture = _picture()
            rest = len(model.columns) - 1
            table = gr.Dataframe(
                headers=list(model.columns),
                column_widths=["30%", *[f"{70 / rest}%"] * rest],
                show_label=False,
                interactive=False,
            )
    return line, table, picture


def _picture() -> gr.Image:
    # Without the button that shares, which would upload the picture.
    return gr.Image(
        show_label=False, interactive=False, format="png", buttons=["download", "fullscreen"]
    )


def _title(models: Sequence[ShownModel], n: int) -> str:
    """The short name of a model, or what tells it from another of that name."""
    title = models[n].title
    same = [model for model in models if model.title == title]
    return title if len(same) == 1 else f"{n + 1}: {models[n].source}"


def _is_classifier(model: ShownModel) -> bool:
    return "probability" in model.columns


def _rounded(value: Any) -> Any:
    return value if isinstance(value, str) else round(value, 4)


def _line(error: Exception) -> str:
    return html.escape(f"error: {' '.join(str(error).split())}")


def serve(
    models: Sequence[ShownModel], port: int | None = None, browser: bool = True, wait: bool = True
) -> Any:
    """Serve the page on this machine.

    Args:
        models: one, or several to be compared.
        port: to listen on; None: the first from 7860 that is free.
        browser: whether to open the page in one.
        wait: until Ctrl-C; else the page is returned while it is served.
    Returns:
        None, or the page, whose `close` ends the server.
    Raises:
        OSError: the port is taken.
    """
    folder = tempfile.TemporaryDirectory(prefix="keras-pvt-app-")
    os.environ["GRADIO_TEMP_DIR"] = folder.name  # which components read as they are made
    work = pathlib.Path(folder.name) / "made"
    work.mkdir()
    blocks = build(models, work)
    blocks.launch(
        server_name=HOST,
        server_port=port,
        inbrowser=browser,
        share=False,
        prevent_thread_lock=True,
        quiet=True,
        show_error=True,
        allowed_paths=[folder.name],  # an empty list would let the environment name some
        max_file_size=MEGABYTES * 2**20,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        strict_cors=True,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
    )
    print(f"{blocks.local_url} (Ctrl-C ends it)", flush=True)
    if not wait:
        blocks.keep_folder = folder
        return blocks
    try:
        blocks.block_thread()
    finally:
        folder.cleanup()
    return None
