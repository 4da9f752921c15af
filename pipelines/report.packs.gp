# SPDX-License-Identifier: MIT
# Mean difference of the nll by pack and length, with intervals.
set lmargin 30
set yrange [rows - 0.4:-0.6]
set xlabel "nats per token, pruned minus base (95% interval)"
unset grid
set grid x lc rgb line lt 1
set border 1
set tics scale 0
set key outside top right horizontal
set arrow from 0, graph 0 to 0, graph 1 nohead lc rgb soft lw 1.5 back
plot d."/packs.tsv" using 3:0:4:5:ytic(1) with xerrorbars pt 7 ps 0.01 lw 2 lc rgb main notitle, \
	"" using 3:($2 == 1 ? $0 : NaN) with points pt 7 ps 0.9 lc rgb main title "judged by the gate", \
	"" using 3:($2 == 0 ? $0 : NaN) with points pt 6 ps 0.9 lw 1.5 lc rgb main title "not judged"
