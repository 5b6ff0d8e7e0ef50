"""What libraries read of boxes as annotation tools write them, with the tools' known quirks.

Writes each case, reads it with each library that is installed, and prints a table: "right", or what
was read instead. Takes seconds; no model, no GPU.

    pip install globox==2.9.0 supervision==0.31.2 labelformat==0.1.17    # and, by itself,
    pip install datumaro==1.13.12
    python benchmarks/dataset_libraries.py
"""

import argparse
import base64
import importlib.metadata
import importlib.util
import io
import json
import pathlib
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

BOX = (10, 20, 30, 50)  # of most objects, xyxy in pixels of an image of 100 x 80
VOC = (11, 21, 30, 50)  # the same in Pascal VOC's pixels
LINE = "1 0.2 0.4375 0.2 0.375"  # the same of a dog, in YOLO's shares
Objects = list[tuple[str, tuple[float, ...]]]
HIDDEN = "<pose>Unspecified</pose><truncated>1</truncated><difficult>0</difficult>"
PART = "<part><name>head</name><bndbox><xmin>12</xmin><ymin>22</ymin><xmax>15</xmax><ymax>25</ymax></bndbox></part>"  # noqa: E501


class Case(NamedTuple):
    """What is written, and what is in it."""

    title: str
    write: Callable[[pathlib.Path], None]
    expected: Objects


def photo(path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 80), (90, 120, 60)).save(path)


def voc(box=VOC, name="a.jpg", said=None, size=(100, 80), part="", alone=False):
    def write(folder: pathlib.Path) -> None:
        photo(folder / "JPEGImages" / name)
        if alone:
            photo(folder / "JPEGImages" / "b.jpg")
        sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        inner = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
        (folder / "Annotations").mkdir()
        (folder / "Annotations" / "a.xml").write_text(
            f"<annotation><filename>{said or name}</filename><size><width>{size[0]}</width><height>"
            f"{size[1]}</height><depth>3</depth></size><object><name>cat</name>{HIDDEN}<bndbox>"
            f"{inner}</bndbox>{part}</object></annotation>"
        )
        lists = folder / "ImageSets" / "Main"  # without which datumaro reads nothing
        lists.mkdir(parents=True)
        (lists / "train.txt").write_text("a\nb\n" if alone else "a\n")

    return write


def yolo(*lines, names="[cat, dog]", path="", image="a.jpg"):
    def write(folder: pathlib.Path) -> None:
        photo(folder / "images" / "train" / image)
        label = (folder / "labels" / "train" / image).with_suffix(".txt")
        label.parent.mkdir(parents=True)
        label.write_text("\n".join(lines or [LINE]) + "\n")
        text = f"{path}train: images/train\nval: images/train\nnames: {names}\n"
        (folder / "data.yaml").write_text(text)

    return write


def labelme(*shapes, image="a.jpg"):
    def write(folder: pathlib.Path) -> None:
        photo(folder / "a.jpg")
        content = {"version": "5.4.1", "flags": {}, "imagePath": image, "imageData": None}
        content |= {"imageHeight": 80, "imageWidth": 100}
        content["shapes"] = [
            {"label": label, "points": points, "shape_type": kind, "group_id": group, "flags": {}}
            | more
            for label, points, kind, group, more in shapes
        ]
        (folder / "a.json").write_text(json.dumps(content))

    return write


def cvat(shape: str):
    def write(folder: pathlib.Path) -> None:
        photo(folder / "images" / "a.jpg")
        (folder / "annotations.xml").write_text(
            "<annotations><version>1.1</version><meta><task><labels><label><name>cat</name></label>"
            '</labels></task></meta><image id="0" name="a.jpg" width="100" height="80">'
            f"{shape}</image></annotations>"
        )

    return write


def roboflow(folder: pathlib.Path) -> None:
    photo(folder / "train" / "a.jpg")
    groups = [
        {"id": 0, "name": "animals", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "animals"},
    ]
    box = {"id": 0, "image_id": 0, "category_id": 1, "bbox": [10, 20, 20, 30], "area": 600}
    box |= {"iscrowd": 0, "segmentation": []}
    image = {"id": 0, "file_name": "a.jpg", "width": 100, "height": 80}
    content = {"images": [image], "categories": groups, "annotations": [box]}
    (folder / "train" / "_annotations.coco.json").write_text(json.dumps(content))


def png() -> str:
    file = io.BytesIO()
    Image.fromarray(np.ones((30, 20), bool)).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


CORNERS = [[10, 20], [30, 20], [30, 50]]
OWN = 'label="cat" source="manual" occluded="0" z_order="0"'
CAT, DOG = [("cat", BOX)], [("dog", BOX)]
CASES = {
    "voc": [
        Case("whole pixels, from 1", voc(), CAT),
        Case("fractions", voc((10.5, 20.5, 30.0, 50.5)), [("cat", (10.5, 20.5, 30.0, 50.5))]),
        Case("an object with a part", voc(part=PART), CAT),
        Case("another `<filename>`", voc(said="C:\\x\\IMG_1.jpg"), CAT),
        Case("a `<size>` of 0", voc(size=(0, 0)), CAT),
    ],
    "yolo": [
        Case("names as a list", yolo(), DOG),
        Case("names by ids, not in order", yolo(names="{1: dog, 0: cat}"), DOG),
        Case("a polygon among boxes", yolo("1 0.1 0.25 0.3 0.25 0.3 0.625", LINE), DOG * 2),
        Case("a score after a box", yolo(f"{LINE} 0.9"), DOG),
        Case("a class that is not there", yolo(LINE, "7 0.5 0.5 0.2 0.2"), DOG),
        Case("a PNG", yolo(image="a.png"), DOG),
        Case("a deeper folder", yolo(image="s/a.jpg"), DOG),
        Case("`path` of another machine", yolo(path="path: ../datasets/x\n"), DOG),
    ],
    "labelme": [
        Case("a rectangle from any corner",
             labelme(("cat", [[30, 50], [10, 20]], "rectangle", None, {})), CAT),
        Case("a polygon", labelme(("cat", CORNERS, "polygon", None, {})), CAT),
        Case("a polygon without its kind", labelme(("cat", CORNERS, None, None, {})), CAT),
        Case("a circle", labelme(("cat", [[20, 35], [20, 45]], "circle", None, {})),
             [("cat", (10, 25, 30, 45))]),
        Case("a mask", labelme(("cat", [[10, 20], [29, 49]], "mask", None, {"mask": png()})), CAT),
        Case("two shapes of a group", labelme(
            ("cat", CORNERS, "polygon", 1, {}),
            ("cat", [[60, 20], [70, 20], [70, 50]], "polygon", 1, {}),
        ), [("cat", (10, 20, 70, 50))]),
    ],
    "cvat": [
        Case("a box", cvat(f'<box {OWN} xtl="10" ytl="20" xbr="30" ybr="50"/>'), CAT),
        Case("a turned box",
             cvat(f'<box {OWN} xtl="5" ytl="25" xbr="35" ybr="45" rotation="90"/>'), CAT),
        Case("a polygon", cvat(f'<polygon {OWN} points="10,20;30,20;30,50"/>'), CAT),
        Case("an ellipse", cvat(f'<ellipse {OWN} cx="20" cy="35" rx="10" ry="15"/>'), CAT),
        Case("a mask", cvat(
            f'<mask {OWN} rle="0, 600" left="10" top="20" width="20" height="30"/>'), CAT),
    ],
    "roboflow": [Case("a category that groups", roboflow, CAT)],
}  # fmt: skip


def by_globox(kind: str, folder: pathlib.Path) -> Objects:
    from globox import Annotation, AnnotationSet

    if kind == "voc":
        read = AnnotationSet.from_pascal_voc(folder / "Annotations")
    elif kind == "yolo":
        images, labels = folder / "images" / "train", folder / "labels" / "train"
        read = AnnotationSet.from_yolo_v5(labels, image_folder=images, recursive=True)
        read.map_labels({"0": "cat", "1": "dog"})  # it does not read data.yaml
    elif kind == "labelme":
        read = AnnotationSet.from_folder(
            folder, extension=".json", parser=lambda file: Annotation.from_labelme(file, True)
        )
    elif kind == "cvat":
        read = AnnotationSet.from_cvat(folder / "annotations.xml")
    else:
        read = AnnotationSet.from_coco(folder / "train" / "_annotations.coco.json")
    return [(box.label, box.ltrb) for one in read for box in one.boxes]


def by_supervision(kind: str, folder: pathlib.Path) -> Objects | None:
    from supervision import DetectionDataset

    if kind == "voc":
        paths = (folder / "JPEGImages", folder / "Annotations")
        read = DetectionDataset.from_pascal_voc(*map(str, paths))
    elif kind == "yolo":
        paths = (folder / "images" / "train", folder / "labels" / "train", folder / "data.yaml")
        read = DetectionDataset.from_yolo(*map(str, paths))
    elif kind == "labelme":
        read = DetectionDataset.from_labelme(str(folder), str(folder))
    elif kind == "roboflow":
        paths = (folder / "train", folder / "train" / "_annotations.coco.json")
        read = DetectionDataset.from_coco(*map(str, paths))
    else:
        return None
    return [
        (read.classes[label], tuple(box))
        for one in read.annotations.values()
        for label, box in zip(one.class_id, one.xyxy.tolist(), strict=True)
    ]


def by_labelformat(kind: str, folder: pathlib.Path) -> Objects | None:
    from labelformat.formats.coco import COCOObjectDetectionInput
    from labelformat.formats.cvat import CVATObjectDetectionInput
    from labelformat.formats.pascalvoc import PascalVOCObjectDetectionInput
    from labelformat.formats.yolov8 import YOLOv8ObjectDetectionInput

    if kind == "voc":
        read = PascalVOCObjectDetectionInput(folder / "Annotations", "cat,dog")
    elif kind == "yolo":
        read = YOLOv8ObjectDetectionInput(folder / "data.yaml", "train")
    elif kind == "cvat":
        read = CVATObjectDetectionInput(folder / "annotations.xml")
    elif kind == "roboflow":
        read = COCOObjectDetectionInput(folder / "train" / "_annotations.coco.json")
    else:
        return None
    found = [one for image in read.get_labels() for one in image.objects]
    return [
        (one.category.name, (one.box.xmin, one.box.ymin, one.box.xmax, one.box.ymax))
        for one in found
    ]


def by_datumaro(kind: str, folder: pathlib.Path) -> Objects | None:
    from datumaro import AnnotationType, Dataset

    names = {"voc": "voc", "yolo": "yolo", "cvat": "cvat", "roboflow": "roboflow_coco"}
    if kind not in names:  # its "label_me" is another LabelMe, of XML
        return None
    read = Dataset.import_from(str(folder), names[kind])
    labels = read.categories()[AnnotationType.label]
    found: Objects = []
    for one in (one for item in read for one in item.annotations):
        if hasattr(one, "get_bbox"):
            x, y, width, height = map(float, one.get_bbox())
            found.append((labels[one.label].name, (x, y, x + width, y + height)))
    return found


def by_keras_pvt(kind: str, folder: pathlib.Path) -> Objects:
    from keras_pvt.detection.data.formats.choice import load_folder

    data = next(iter(load_folder(folder, name=kind.replace("roboflow", "coco")).values()))
    return [
        (data.classes[label], tuple(box))
        for one in data.samples
        for label, box in zip(one.labels, one.boxes.tolist(), strict=True)
    ]


LIBRARIES = {
    "globox": by_globox,
    "supervision": by_supervision,
    "labelformat": by_labelformat,
    "datumaro": by_datumaro,
    "keras_pvt": by_keras_pvt,
}


def outcome(read: Callable, kind: str, case: Case) -> str:
    """What a cell of the table says."""
    with tempfile.TemporaryDirectory() as folder:
        case.write(pathlib.Path(folder))
        try:
            found = read(kind, pathlib.Path(folder))
        except Exception as error:
            return f"{type(error).__name__}"
    if found is None:
        return "-"
    same = len(found) == len(case.expected) and all(
        name == true and np.allclose(box, corners, atol=1e-3)
        for (name, box), (true, corners) in zip(sorted(found), sorted(case.expected), strict=True)
    )
    if same:
        return "right"
    shown = (f"{name} {', '.join(f'{value:g}' for value in box)}" for name, box in found)
    return "; ".join(shown) or "nothing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("libraries", nargs="*", help="(default: those that are installed)")
    wanted = parser.parse_args().libraries
    wanted = wanted or [name for name in LIBRARIES if importlib.util.find_spec(name)]
    if not wanted:
        sys.exit("none of the libraries is installed; the first lines of this file say how")
    warnings.simplefilter("ignore")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in wanted]
    print("|", " | ".join(["", "", *versions]), "|")
    print("|" + "---|" * (2 + len(wanted)))
    for kind, cases in CASES.items():
        for case in cases:
            cells = [outcome(LIBRARIES[name], kind, case) for name in wanted]
            print("|", " | ".join([kind, case.title, *cells]), "|")


if __name__ == "__main__":
    main()
