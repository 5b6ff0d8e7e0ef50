"""Pascal VOC: an XML file for each image, as its development kit, LabelImg and others write it.

Source:
    The PASCAL Visual Object Classes development kit, section 4: pixels count from 1, and the last
    ones are in the box.
"""

import pathlib
import xml.etree.ElementTree as ET

from keras_pvt.detection.data.formats.entries import Entries, Split, splits_of
from keras_pvt.utils.listing import NO_XML, SPLITS, Listing, listed_names, xml_root

SIDES = ("xmin", "ymin", "xmax", "ymax")


def fits(listing: Listing) -> str | None:
    """What makes a folder one of this format, in words; None if nothing does."""
    for file in listing.sampled(".xml"):
        if xml_root(file) == "annotation":
            return f"{file.name} is XML of an <annotation>"
    return None


def read(listing: Listing) -> dict[str, Split]:
    """The splits: those of ImageSets/Main, or of folders called train, val and test, or one, "".

    A box is from the left and top of its first pixel to the right and bottom of its last, with
    pixels counted from 1; where a coordinate of the set is 0 or a fraction, they are edges, and
    are taken as they are. Objects that are "difficult" are ignored.
    """
    entries: dict[str, Entries] = {}
    lists = _lists(listing, entries)
    roots: list[tuple[str, pathlib.Path, pathlib.Path, ET.Element]] = []
    described = set()
    for file in listing.ending(".xml"):
        root = _root(file)
        if root is not None and root.tag != "annotation":
            continue  # of another kind, beside them
        splits = [name for name, stems in lists.items() if file.stem in stems]
        if not lists:
            splits = [listing.split(file)]
        image = listing.image_of(file, _names(file, root))
        second = image is not None and image in described
        described.add(image)
        for split in splits or [""]:
            part = entries.setdefault(split, Entries())
            if not splits:
                part.report.add("annotation file in no list of ImageSets: passed over", str(file))
            elif root is None:
                part.report.add(NO_XML, str(file))
            elif image is None:
                part.report.add("annotation file without its image: left out", str(file))
            elif second:
                part.report.add("second annotation file of an image: left out", str(file))
            else:
                roots.append((split, file, image, root))
    _say_alone(listing, entries, described)
    from_one = _count_from_one([root for *_, root in roots])
    for split, file, image, root in roots:
        _read_one(entries[split], file, image, root, from_one)
    return splits_of(listing.root, entries)


def _say_alone(listing: Listing, entries: dict[str, Entries], described: set) -> None:
    for image in listing.images:
        if image not in described and "Segmentation" not in image.parent.name:
            first = entries.setdefault(listing.split(image), Entries())
            first.report.add("image without an annotation file: left out", str(image))


def _lists(listing: Listing, entries: dict[str, Entries]) -> dict[str, set[str]]:
    """The names in ImageSets/Main/train.txt and so on; trainval where there is no train."""
    files = {
        file.stem: file
        for file in listing.files
        if file.suffix == ".txt" and file.parent.name in ("Main", "ImageSets")
    }
    splits = {SPLITS[name]: file for name, file in files.items() if name in SPLITS}
    if "train" not in splits and "trainval" in files:
        splits["train"] = files["trainval"]
    stems = {file.stem for file in listing.ending(".xml")}
    found = {}
    for split, file in splits.items():
        found[split], unknown = listed_names(file, stems)
        for line in unknown:
            report = entries.setdefault(split, Entries()).report
            report.add(
                "name in a list of ImageSets without an annotation file", f"{line} of {file}"
            )
    return found


def _root(file: pathlib.Path) -> ET.Element | None:
    try:
        return ET.parse(file).getroot()
    except (ET.ParseError, LookupError, ValueError):
        return None


def _names(file: pathlib.Path, root: ET.Element | None) -> list[str]:
    said = None if root is None else root.findtext("filename")
    return [file.name] + ([said.strip()] if said and said.strip() else [])


def _numbers(box: ET.Element | None) -> list[float] | None:
    """xmin, ymin, xmax, ymax as they are written."""
    if box is None:
        return None
    try:
        return [float(box.findtext(side, "")) for side in SIDES]
    except ValueError:
        return None


def _count_from_one(roots: list[ET.Element]) -> bool:
    boxes = [_numbers(one.find("bndbox")) for root in roots for one in root.findall("object")]
    values = [value for box in boxes if box for value in box]
    return all(value.is_integer() and value > 0 for value in values)


def _read_one(
    part: Entries, file: pathlib.Path, image: pathlib.Path, root: ET.Element, from_one: bool
) -> None:
    said = (root.findtext("filename") or "").strip().replace("\\", "/")
    if said and pathlib.PurePosixPath(said).name != image.name:
        part.report.add(
            "<filename> of another name than its file: the image of the file's name is taken",
            f"{file}, which says {said}",
        )
    size = root.findtext("size/height"), root.findtext("size/width")
    part.image(image, part.stated(*size, str(file)))
    objects = root.findall("object")
    if objects:
        part.report.add(
            "file of boxes that count pixels from 1: left and top become 1 less, to be edges"
            if from_one
            else "file of boxes with edges, as a coordinate of the set is 0 or a fraction",
            str(file),
        )
    for number, one in enumerate(objects, 1):
        where = f"{file.name}, object {number}"
        name = (one.findtext("name") or "").strip()
        if not name:
            part.report.add("object without a name: left out", f"{where} of {file}")
            continue
        corners = _numbers(one.find("bndbox"))
        if corners is not None and from_one:
            corners = [corners[0] - 1, corners[1] - 1, *corners[2:]]
        difficult = (one.findtext("difficult") or "0").strip() not in ("0", "")
        if difficult:
            part.report.add('"difficult" object: neither trained on nor counted as missed', where)
        part.add(image, name, corners, where, ignored=difficult)
