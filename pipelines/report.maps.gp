# SPDX-License-Identifier: MIT
# p x H of base and pruned, tokens on a log scale, and their difference in units
# of its own noise.  Thresholds of each model are dotted.
set multiplot layout 1, 3 margins 0.06, 0.985, 0.33, 0.91 spacing 0.045
set xrange [xmin:xmax]
set yrange [0:1]
set size ratio 0.9
unset grid
set colorbox horizontal user origin graph 0.1, graph -0.36 size graph 0.8, graph 0.04
set xlabel xlabel offset 0, 0.3
set ylabel "entropy of the top tokens" offset 1.5
set cblabel "tokens" tc rgb soft offset 0, 0.4
set logscale cb
set cbrange [1:cbmax]
eval "set palette ".ramp[dark + 1]
set title left_title
set arrow 1 from xthr_l, graph 0 to xthr_l, graph 1 nohead dt 3 lc rgb more lw 1.5 front
set arrow 2 from graph 0, first hthr_l to graph 1, first hthr_l nohead dt 3 lc rgb more lw 1.5 front
plot d."/maps.tsv" using 1:2:($3 > 0 ? $3 : NaN) with image pixels notitle
unset ylabel
set format y ""
set title right_title
set arrow 1 from xthr_r, graph 0 to xthr_r, graph 1 nohead dt 3 lc rgb more lw 1.5 front
set arrow 2 from graph 0, first hthr_r to graph 1, first hthr_r nohead dt 3 lc rgb more lw 1.5 front
plot d."/maps.tsv" using 1:2:($4 > 0 ? $4 : NaN) with image pixels notitle
unset logscale cb
set cbrange [-5:5]
set cblabel "(pruned - base) / √(pruned + base)"
eval "set palette ".split[dark + 1]
set title "difference"
unset arrow 1
unset arrow 2
plot d."/maps.tsv" using 1:2:($3 + $4 > 0 ? ($4 - $3) / sqrt($3 + $4) : NaN) with image pixels notitle
unset multiplot
