# SPDX-License-Identifier: MIT
# A figure of a report: draw.gp FOLDER DRAWING OUT.  `set` has its settings and `rows`
# its data; FOLDER/draw.DRAWING.gp draws it.

out  = ARG3
png  = out[strlen(out) - 3:] eq ".png"
dark = strstrt(out, "-dark.svg") > 0
fg   = dark ? "#e4e7eb" : "#1f2933"
soft = dark ? "#9aa5b1" : "#52606d"
line = dark ? "#3a434e" : "#d9e0e7"
main = dark ? "#60a5fa" : "#1d4ed8"
more = dark ? "#fbbf24" : "#b45309"
cut  = dark ? "#f87171" : "#c81e1e"
ramp = dark ? "defined (0 '#172a46', 0.35 '#1d4ed8', 0.7 '#60a5fa', 1 '#eff6ff')" \
	: "defined (0 '#dbeafe', 0.35 '#60a5fa', 0.7 '#1d4ed8', 1 '#0b1f5c')"
both = dark ? "defined (-1 '#fca5a5', -0.4 '#b91c1c', 0 '#1c2128', 0.4 '#1d4ed8', 1 '#93c5fd')" \
	: "defined (-1 '#b2182b', -0.4 '#f4a582', 0 '#f7f7f7', 0.4 '#92c5de', 1 '#2166ac')"

load "set"
# Narrow enough to be read on a phone.
width  = ARG2 eq "map" ? 420 : ARG2 eq "bars" ? 480 : 760
height = ARG2 eq "map" ? 470 : ARG2 eq "sweep" ? 380 : ARG2 eq "scores" ? 110 + (layers < 5 ? 110 : layers < 36 ? 22 * layers : 792) : 100 + 26 * n
if (exists("names")) { names_width = 7.6 * names + 24 }
# Letters are 13 pixels high in all forms: 19.5 points are 26 pixels.
if (png) {
	set terminal pngcairo noenhanced size width * 2, height * 2 font "DejaVu Sans,19.5" linewidth 2 pointscale 2 background "white"
} else {
	set terminal svg noenhanced size width, height dynamic font "DejaVu Sans,Noto Sans CJK SC,Helvetica,Arial,sans-serif,13"
}
set output out

set encoding utf8
set border 3 lc rgb soft lw 1
set tics nomirror out scale 0.5 tc rgb fg
set format "%h"
set xlabel tc rgb soft
set ylabel tc rgb soft
set y2label tc rgb soft
set title tc rgb fg
set key tc rgb fg
set cbtics tc rgb fg
set grid lc rgb line lw 1 lt 1
set datafile separator "\t"

load sprintf("%s/draw.%s.gp", ARG1, ARG2)
