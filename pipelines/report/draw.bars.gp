# SPDX-License-Identifier: MIT
# Values with their intervals, one below the other.  Filled: judged by the gate.
set lmargin at screen names_width / width
set rmargin 3
set yrange [n - 0.4:-0.6]
set xrange [lo:hi]
set xlabel xlabel
set xtics step
unset grid
set grid x lc rgb line lt 1
set border 1
set tics scale 0
if (key) { set key outside top right horizontal } else { unset key }
set arrow from 0, graph 0 to 0, graph 1 nohead lc rgb soft lw 1.5 back
if (limit) {
	set arrow from 100, graph 0 to 100, graph 1 nohead lc rgb more lw 2.5 front
	if (lo < -100) { set arrow from -100, graph 0 to -100, graph 1 nohead lc rgb more lw 2.5 front }
}
plot "rows" using 2:0:3:4:ytic(1) with xerrorbars pt 7 ps 0.01 lw 2 lc rgb main notitle, \
	"" using ($5 == 1 ? $2 : NaN):0 with points pt 7 ps 0.9 lc rgb main title "judged by the gate", \
	"" using ($5 == 0 ? $2 : NaN):0 with points pt 6 ps 0.9 lw 1.5 lc rgb main title "not judged"
