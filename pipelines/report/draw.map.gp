# SPDX-License-Identifier: MIT
# Tokens by probability and entropy: how many (log scale; the model's thresholds are
# dotted), or where tokens moved to and from.
set xrange [xmin:xmax]
set yrange [0:1]
set size ratio 0.9
unset grid
set lmargin at screen 0.16
set rmargin at screen 0.95
set bmargin at screen 0.32
set tmargin at screen 0.91
set colorbox horizontal user origin graph 0, graph -0.33 size graph 1, graph 0.04
set xlabel xlabel offset 0, 0.3
set ylabel "entropy of the top tokens" offset 1
unset key
if (count) {
	set title title
	set logscale cb
	set cbrange [1:most < 2 ? 2 : most]
	set cblabel "tokens" tc rgb soft offset 0, 0.4
	eval "set palette ".ramp
	set arrow from x, graph 0 to x, graph 1 nohead dt 3 lc rgb more lw 1.5 front
	set arrow from graph 0, first h to graph 1, first h nohead dt 3 lc rgb more lw 1.5 front
	plot "rows" using 1:2:($3 > 0 ? $3 : NaN) with image pixels
} else {
	set title "pruned minus base"
	set cbrange [-most:most]
	set cbtics step
	set cblabel (paired ? "tokens gained, in units of chance" : "percent of all tokens") tc rgb soft offset 0, 0.4
	eval "set palette ".both
	plot "rows" using 1:2:($3) with image pixels
}
