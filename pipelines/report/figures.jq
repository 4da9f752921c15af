# SPDX-License-Identifier: MIT
#
# The data of a report's figures, from the JSON of reap-report, as lines of files: the
# file's name, a tab, the line.  NAME.drawing is the gnuplot script that draws a figure,
# NAME.set its settings, NAME.rows its rows separated by tabs.
#
# Strings in `set` are ours alone: text from outside stands in rows only, and gnuplot
# takes it as it is.

# A pack and its length; a long name keeps its beginning and its end.
def place: (.pack | gsub("\\s"; " ") | if length > 20 then .[:10] + "…" + .[-9:] else . end) + "  " +
	(if .seq_len == 0 then "rows" else .seq_len | tostring end);
def longest: [0, (.[][0] | length)] | max;

# The distance of tics, of which the range holds at most $most: 1, 2, 2.5 or 5 times a
# power of ten; of tics that count experts: a power of two.
def step($range; $most): ($range / $most) as $x | pow(10; $x | log10 | floor) as $p | [1, 2, 2.5, 5, 10, 20 | . * $p | select(. >= $x)] | min;
def whole($range): pow(2; [($range / 8 | log2 | ceil), 0] | max);

# The range that holds all values and intervals and zero, with room at both ends.
def range_of: [0, .[][1:4][]] | (min) as $lo | (max) as $hi |
	(if $hi > $lo then ($hi - $lo) * 0.06 else 1 end) as $room | {lo: ($lo - $room), hi: ($hi + $room)};

# Values with intervals, one below the other: [name, value, low, high, judged].
def bars($xlabel): . as $rows |
	{drawing: "bars", rows: $rows, set: ({xlabel: $xlabel, n: length, names: longest, limit: 0, key: 0} + range_of)};
# With tics, once the range is known: their labels stand beside each other in the width
# that the names leave.
def tics: .set.step = step(.set.hi - .set.lo; (56 - .set.names) / 7.2);
def bar($name; $judged): [$name, .d_nll, (.d_nll_ci // [.d_nll, .d_nll])[], $judged];

def map($title; $value; $count): .maps as $m |
	{drawing: "map", rows: [$m.points[] | [.[0], .[1], .[$value]]],
	set: ({title: $title, count: $count, xmin: $m.x[0], xmax: $m.x[1],
		xlabel: (if $m.log then "log10 of the probability of the token" else "probability of the token" end),
		most: ([$m.points[] | .[2], .[3]] | max)} +
		(if $count == 1 then {x: ($m[$title][0]), h: ($m[$title][1])} else {x: -99, h: -99} end))};

def scores($by): .kept as $k | ($k.layers | length) as $layers | ($k.first_layer // 0) as $first |
	{drawing: "scores", set: {experts: $k.experts, keep: $k.keep_n, layers: $layers, first: $first, by_rank: $by},
	rows: [range($layers) as $l | [range($k.experts) as $x | $k.layers[$l] |
		[(if $by == 1 then .rank[$x] else $x end), $l + $first, .score[$x], (if .kept[$x] then 1 else 0 end)]] |
		sort[]]};

def figures: . as $all | [.verdict.checks[] | [.pack, .seq_len]] as $judged |
{
	lost: ([.verdict.checks[] | select(.limit != 0) |
		["\(.figure), \(place)", .value / .limit * 100, ((.interval // [.value, .value])[] / .limit * 100), 1]] |
		bars("% of the limit (orange)") | .set.limit = 1 |
		.set.hi = ([.set.hi, 110] | max) |
		.set.lo = (if any(.rows[]; .[2] < 0) then [.set.lo, -110] | min else .set.lo end) | tics),
	packs: ([.verdict.rows[] | select(.d_nll != null) | [.pack, .seq_len] as $me |
		bar(place; if any($judged[]; . == $me) then 1 else 0 end)] |
		bars("added loss, nats per token") | .set.key = 1 | tics),
	channels: ([.row.channels[]? | bar(.channel; 1)] | bars("nats per token") | tics),
	positions: ([.row.positions[]? | bar("\(.from) to \(.to)"; 1)] | bars("nats per token") | tics),
	map_base: map("base"; 2; 1),
	map_pruned: map("pruned"; 3; 1),
	map_moved: (map("moved"; 4; 0) | .set.paired = (if $all.maps.paired then 1 else 0 end) |
		.set.most = ([$all.maps.points[][4] // 0 | fabs] | max | if . == 0 then 1 else . end) |
		.set.step = step(.set.most; 3)),
	by_expert: (if .kept then scores(0) else null end),
	by_rank: (if .kept then scores(1) else null end),
	overlap: (if .kept and (.kept.overlap | length) > 0 then .kept as $k | {drawing: "overlap",
		rows: [$k.overlap[] | [.name, .mean, .least]],
		set: ({n: ($k.overlap | length), keep: $k.keep_n, floor_at: ([([$k.overlap[].least] | min) - 2, 0] | max)} |
			.step = whole(.keep - .floor_at))} | .set.names = (.rows | longest) else null end),
	sweep: (if .kept then .kept as $k | {drawing: "sweep",
		rows: ([$k.sweep[] | [.keep_n, .mean * 100, .most * 100, null, null, null]] +
			[$k.measured[] | [.keep_n, null, null, .d_nll, (.interval // [.d_nll, .d_nll])[]]]),
		set: ({keep: $k.keep_n, least: ($k.sweep | map(.keep_n) | min), experts: $k.experts,
			step: ([4, whole($k.experts)] | max), measured: ($k.measured | length)} +
			([$k.measured[] | ["", .d_nll, (.interval // [.d_nll, .d_nll])[]]] | range_of))} else null end)
} | map_values(select(. != null and (.rows | length) > 0));

figures | to_entries[] | .key as $figure | .value |
	(["drawing", .drawing], (.set | to_entries[] | ["set", "\(.key)=\(.value | @json)"]),
	(.rows[] | ["rows", (map(. // "NaN") | @tsv)])) | "\($figure).\(.[0])\t\(.[1])"
