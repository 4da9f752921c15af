#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# labels.py FIGURE.svg...: in the figures of gnuplot no label is cut off, and none
# overlaps another.  Says what does, and then fails.
import re
import sys
import xml.etree.ElementTree as tree

SVG = "{http://www.w3.org/2000/svg}"
# Advances in DejaVu Sans, the widest font that a figure asks for, in em.
NARROW = {".": 0.318, " ": 0.318, "-": 0.361, ",": 0.318, ":": 0.337}


def width(text):
    return sum(NARROW.get(c, 0.636 if c.isdigit() else 0.6) for c in text)


def boxes(root):
    for group in root.iter(SVG + "g"):
        place = re.match(r"translate\(([-\d.]+),([-\d.]+)\)(.*)", group.get("transform", ""))
        for text in group.findall(SVG + "text"):
            words = "".join(text.itertext()).strip()
            if not place or not words:
                continue
            x, y, size = float(place[1]), float(place[2]), float(group.get("font-size"))
            along = width(words) * size
            start = {"middle": along / 2, "end": along}.get(group.get("text-anchor"), 0)
            if "rotate" in place[3]:
                yield words, x - 0.75 * size, y + start - along, x, y + start
            else:
                yield words, x - start, y - 0.75 * size, x - start + along, y


bad = False
for path in sys.argv[1:]:
    root = tree.parse(path).getroot()
    _, _, right, bottom = map(float, root.get("viewBox").split())
    labels = list(boxes(root))
    for i, (words, x0, y0, x1, y1) in enumerate(labels):
        if x0 < 0 or y0 < 0 or x1 > right or y1 > bottom:
            print(f"{path}: {words}: is cut off")
            bad = True
        for other, u0, v0, u1, v1 in labels[:i]:
            if x0 < u1 and u0 < x1 and y0 < v1 and v0 < y1:
                print(f"{path}: {words}: overlaps {other}")
                bad = True
sys.exit(bad)
