# SPDX-License-Identifier: MIT
# The same by channel and by position in the block, on the judged rows.
set multiplot layout 1, 2 margins 0.12, 0.955, 0.26, 0.87 spacing 0.12
set title "by channel"
set format x "%g"
set xtics step
set yrange [channels - 0.4:-0.6]
set xlabel "nats per token"
unset grid
set grid x lc rgb line lt 1
set border 1
set tics scale 0
set arrow 1 from 0, graph 0 to 0, graph 1 nohead lc rgb soft lw 1.5 back
plot d."/channels.tsv" using 2:0:3:4:ytic(1) with xerrorbars pt 7 ps 0.01 lw 2 lc rgb main notitle, \
	"" using 2:0 with points pt 7 ps 0.9 lc rgb main notitle
unset arrow 1
set arrow 1 from graph 0, first 0 to graph 1, first 0 nohead lc rgb soft lw 1.5 back
set title "by position in the block"
set yrange [*:*]
set xrange [-0.5:positions - 0.5]
unset grid
set grid y lc rgb line lt 1
set border 3
set xlabel "position"
set xtics rotate by -35
plot d."/positions.tsv" using 0:2:3:4:xtic(1) with yerrorbars pt 7 ps 0.01 lw 2 lc rgb main notitle, \
	"" using 0:2 with linespoints pt 7 ps 0.9 lw 1.5 lc rgb main notitle
unset multiplot
