# SPDX-License-Identifier: MIT
# How many of the kept experts another choice would keep too: the mean over layers
# and the layer that differs most.
set lmargin at screen names_width / width
set rmargin 3
set yrange [n - 0.4:-0.6]
set xrange [floor_at:keep + 0.02 * (keep - floor_at)]
set xtics step
set xlabel sprintf("experts in common, of %d kept", keep)
unset grid
set grid x y lc rgb line lt 1
set border 1
set tics scale 0
set key outside top right horizontal
plot "rows" using 3:0:($2 - $3):(0) with vectors nohead lw 2 lc rgb soft notitle, \
	"" using 2:0:ytic(1) with points pt 7 ps 0.9 lc rgb main title "mean over layers", \
	"" using 3:0 with points pt 7 ps 0.7 lc rgb more title "layer that differs most"
