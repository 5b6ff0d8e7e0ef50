"""Small data sets in the formats of annotation tools, as these write them, with their quirks."""

import base64
import io
import json
import pathlib
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 100, 80
BOX = [10, 20, 30, 50]  # xyxy in pixels, of most objects here


def write_image(path: pathlib.Path, size=(WIDTH, HEIGHT)) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path)
    return path


def voc_object(name, box, more="") -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inner = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return f"<object><name>{name}</name>{more}<bndbox>{inner}</bndbox></object>"


def write_voc(path: pathlib.Path, *objects: str, filename=None, size=(WIDTH, HEIGHT), ends="\n"):
    """An XML file; the image is not written."""
    width, height = size
    text = (
        f"<annotation><folder>x</folder><filename>{filename or path.stem + '.jpg'}</filename>"
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
        f"<segmented>0</segmented>{''.join(objects)}</annotation>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.replace("><", f">{ends}<").encode())


def write_yolo(folder: pathlib.Path, labels: dict[str, list[str]], yaml: str):
    """Images/STEM.jpg under images/, their labels under labels/, and data.yaml."""
    for name, lines in labels.items():
        write_image(folder / "images" / f"{name}.jpg")
        label = folder / "labels" / f"{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("\n".join(lines) + "\n")
    (folder / "data.yaml").write_text(yaml)


def shape(label, points, kind="rectangle", group=None, **more) -> dict:
    return {"label": label, "points": points, "group_id": group, "shape_type": kind} | more


def write_labelme(path: pathlib.Path, shapes: list, image: str, size=(WIDTH, HEIGHT), data=None):
    """A JSON file; the image is not written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image}
    content |= {"imageData": data, "imageHeight": size[1], "imageWidth": size[0]}
    path.write_text(json.dumps(content))


def png_text(mask) -> str:
    """A mask as LabelMe and Supervisely write it, before they compress it."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(mask, bool)).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def write_cvat(folder: pathlib.Path, *images: str, labels=("dog", "cat")):
    """annotations.xml beside images/, with the elements of the images."""
    names = "".join(f"<label><name>{name}</name></label>" for name in labels)
    meta = f"<meta><task><labels>{names}</labels></task></meta>"
    text = f"<annotations><version>1.1</version>{meta}{''.join(images)}</annotations>"
    (folder / "annotations.xml").write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{text}')


def cvat_image(name: str, shapes: str, more="") -> str:
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    return f'<image id="0" name="{name}" {size} {more}>{shapes}</image>'


def region(kind: str, value: dict, labels=("cat",), **more) -> dict:
    """A result of Label Studio."""
    found = {"id": "x", "type": kind, "value": value | {kind: list(labels)}}
    return found | {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0} | more


def packed(numbers) -> list[int]:
    """Run lengths of a brush of Label Studio, as rle-pack writes them, by its shortest rules."""
    bits = f"{len(numbers):032b}" + f"{8 - 1:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    start = 0
    while start < len(numbers):
        end = start
        while end < len(numbers) and numbers[end] == numbers[start] and end - start < 256:
            end += 1
        if end - start > 1:
            bits += "1" + "10" + f"{end - start - 1:08b}" + f"{numbers[start]:08b}"
        else:
            end = min(len(numbers), start + 4)
            own = "".join(f"{number:08b}" for number in numbers[start:end])
            bits += "0" + "00" + f"{end - start - 1:03b}" + own
        start = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[n : n + 8], 2) for n in range(0, len(bits), 8)]


def bitmap(mask) -> str:
    """A mask as Supervisely's `Bitmap.data_2_base64` writes it."""
    image = Image.fromarray(np.asarray(mask, "uint8"), "P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    file = io.BytesIO()
    image.save(file, "png", transparency=0)
    return base64.b64encode(zlib.compress(file.getvalue())).decode()
