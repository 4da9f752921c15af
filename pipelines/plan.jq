# SPDX-License-Identifier: MIT
# What forward passes would take, one JSON line each, for people, and their sum.
def grouped: round | tostring | [range(length; 0; -3) as $i | .[([$i - 3, 0] | max):$i]] | reverse | join(",");
def digits: . as $v | (if . >= 100 then 0 elif . >= 10 then 1 else 2 end) as $d | $v * pow(10; $d) | round / pow(10; $d);
def scaled($units; $step): [., 0] | until(.[0] < $step or .[1] == ($units | length) - 1; [.[0] / $step, .[1] + 1]) |
	"\(.[0] | digits) \($units[.[1]])";
def size: scaled(["bytes", "KiB", "MiB", "GiB", "TiB"]; 1024);
def flop: scaled(["GFLOP", "TFLOP", "PFLOP", "EFLOP"]; 1000);
def time: if . < 100 then "\(digits) s" elif . < 6000 then "\(. / 60 | round) min" else "\(. / 360 | round / 10) h" end;
def figures: "\(.tokens | grouped) tokens, \(.total | flop), \(.time | time), \(.memory | size) of memory, \(.disk | size) of disk";

[inputs] as $passes |
# A pass that cannot be asked takes what the one that it is like takes.
reduce $passes[] as $p ({known: {}, all: []};
	(if $p.like then .known[$p.like] else $p end) as $like |
	.known[$p.name] = $like | .all += [$p + {known: $like}]) | .all as $all |
($all[] |
	if .there then "\(.name): is there"
	elif .like and .known then "\(.name): as \(.like), with fewer weights to read"
	elif .like then "\(.name): when the model has been made"
	else "\(.name): \(.command)\n  \(figures)\n  in 4 shards \(.time_of_4 | time) each, in 16 \(.time_of_16 | time)" end, ""),
([$all[] | select((.there | not) and (.like | not)), (select(.like) | .known // empty | select(.there | not))]) as $sum |
([$all[] | select(.like and (.known | not))] | length) as $unknown |
if ($sum | length) + $unknown == 0 then "no forward pass" else
"sum of \($sum | length) \(if ($sum | length) == 1 then "pass" else "passes" end): " +
	({tokens: ([$sum[].tokens] | add // 0), total: ([$sum[].total] | add // 0), time: ([$sum[].time] | add // 0),
	  disk: ([$sum[].disk] | add // 0), memory: ([$sum[].memory] | max // 0)} | figures) +
	(if $unknown > 0 then "; \($unknown) more when the model has been made" else "" end) end
