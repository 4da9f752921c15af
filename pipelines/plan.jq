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

# A pass that cannot be asked takes what the pass that it is like takes; a pass that comes twice
# is run once.
reduce inputs as $p ({known: {}, first: {}, all: []};
	(if $p.tokens then $p else .known[$p.like // ""] end) as $figures |
	.all += [$p + {$figures, first: .first[$p.key // ""]}] | .known[$p.name] = $figures |
	if ($p.key // "") != "" then .first[$p.key] //= $p.name else . end) | .all as $all |
($all[] |
	if .there then "\(.name): is there"
	elif .first then "\(.name): is shared with \(.first)"
	elif .tokens then "\(.name): \(.command)\n  \(figures)\n  in 4 shards \(.time_of_4 | time) each, in 16 \(.time_of_16 | time)"
	elif .figures then "\(.name): as \(.like), with fewer weights to read"
	else "\(.name): known when the model has been made" end, ""),
([$all[] | select((.there or .first) | not)]) as $new |
([$new[].figures | values]) as $sum |
(($new | length) - ($sum | length)) as $unknown |
if ($new | length) == 0 then "no forward pass" else
"sum of \($sum | length) \(if ($sum | length) == 1 then "pass" else "passes" end): " +
	({tokens: ([$sum[].tokens] | add // 0), total: ([$sum[].total] | add // 0), time: ([$sum[].time] | add // 0),
	  disk: ([$sum[].disk] | add // 0), memory: ([$sum[].memory] | max // 0)} | figures) +
	(if $unknown > 0 then "; \($unknown) more when the model has been made" else "" end) end
