# SPDX-License-Identifier: MIT
# Score of each expert as a share of its layer's, in units of the fair share 1/E;
# above by expert, dropped ones crossed out, below by rank with the cut.
set multiplot layout 2, 1 margins 0.06, 0.86, 56.0 / height, 1 - 24.0 / height spacing 70.0 / height
eval "set palette ".ramp[dark + 1]
unset grid
set cbrange [0:2]
set cblabel "× fair share" tc rgb soft
set yrange [layers - 0.5:-0.5]
set xrange [-0.5:experts - 0.5]
set ylabel "layer" offset 1
set ytics out add 1
set xlabel "expert (red: dropped)" offset 0, 0.5
plot d."/saliency.tsv" using 2:1:4 with image pixels notitle, \
	"" using ($5 == 0 ? $2 : NaN):1 with points pt 2 ps cross lw 1.6 lc rgb cut notitle
set xlabel "rank within the layer (red: the cut)" offset 0, 0.5
set xrange [0.5:experts + 0.5]
set arrow from keep + 0.5, graph -0.02 to keep + 0.5, graph 1.02 nohead lc rgb cut lw 2.5 front
plot d."/ranked.tsv" using 3:1:4 with image pixels notitle
unset multiplot
