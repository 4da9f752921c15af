# SPDX-License-Identifier: MIT
# Score of each expert as a multiple of its layer's mean: by expert, dropped ones
# crossed out, or by rank, with the cut.
eval "set palette ".ramp
unset grid
unset key
set lmargin 8
set rmargin 15
set cbrange [0:2]
set cbtics 0.5 add ("2+" 2)
set cblabel "score / mean" tc rgb soft
set yrange [first + layers - 0.5:first - 0.5]
set ylabel "layer"
if (layers <= 8) { set ytics 1 }
if (by_rank) {
	set xlabel "rank within the layer (red: the cut)"
	set xrange [0.5:experts + 0.5]
	set arrow from keep + 0.5, graph -0.02 to keep + 0.5, graph 1.02 nohead lc rgb cut lw 2.5 front
	plot "rows" using 1:2:(0.5):(0.5):3 with boxxyerror fs solid noborder fc palette
} else {
	set xlabel "expert (red: dropped)"
	set xrange [-0.5:experts - 0.5]
	plot "rows" using 1:2:(0.5):(0.5):3 with boxxyerror fs solid noborder fc palette, \
		"" using ($4 == 0 ? $1 : NaN):2 with points pt 2 ps (experts < 64 ? 1 : 0.4) lw 1.6 lc rgb cut
}
