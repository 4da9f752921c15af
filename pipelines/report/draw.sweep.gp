# SPDX-License-Identifier: MIT
# What each keep_n would drop by the scores, and the loss where it was measured.
set lmargin 10
set rmargin measured ? 13 : 3
set bmargin 4.5
set xlabel "experts kept in each layer (red: the cut)"
set ylabel "share of the scores dropped, %"
set xrange [least - 1:experts + 1]
set yrange [0:*]
set y2range [lo:hi]
set xtics step
if (measured) {
	set border 11
	set y2label "measured loss, nats per token" tc rgb more
	set y2tics tc rgb more
}
set key outside top right horizontal
set arrow from keep, graph 0 to keep, graph 1 nohead dt 2 lc rgb cut lw 1.5
plot "rows" using 1:2 with linespoints pt 7 ps 0.8 lw 2 lc rgb main title "mean over layers", \
	"" using 1:3 with linespoints pt 6 ps 0.7 lw 1.2 dt 2 lc rgb main title "weakest layer", \
	"" using 1:4:5:6 axes x1y2 with yerrorbars pt 5 ps 0.9 lw 2 lc rgb more title measured ? "measured (right)" : ""
