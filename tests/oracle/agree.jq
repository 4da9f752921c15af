# SPDX-License-Identifier: MIT
# jq -s --slurpfile want CASE.json -f agree.jq TRACE_LINES: how a trace differs
# from the oracle's numbers.
def rel($a; $b): (($a - $b) | fabs) / ($b | if . == 0 then 1e-30 else . end);
def worst: if length == 0 then 0 else max end;

$want[0] as $w
| [.[] | select(.t == "route")] as $r
| [.[] | select(.t == "outcome")] as $o
# one entry per kept token and layer
| [range($r | length) as $i | $r[$i] as $a | $w.routes[$i] as $b
	| if $a.block != $b.block or $a.layer != $b.layer or $a.positions != $b.positions
		then error("record \($i) is another one") else . end
	| range($b.positions | length) as $p
	| {margin: $b.margins[$p], same: (($a.experts[$p] | sort) == ($b.experts[$p] | sort)),
		pairs: [range($b.experts[$p] | length) as $s
			| ($a.experts[$p] | index($b.experts[$p][$s])) as $at | select($at != null)
			| {norm: rel($a.norms[$p][$at]; $b.norms[$p][$s]),
				gate: (($a.gates[$p][$at] - $b.gates[$p][$s]) | fabs)}]}] as $sets
| [range($o | length) as $i | $o[$i] as $a | $w.outcomes[$i] as $b
	| range($b.positions | length) as $p
	| if ($a.logp[$p] == null) != ($b.logp[$p] == null) then error("NaN where none belongs")
		elif $a.logp[$p] == null then empty
		else {logp: (($a.logp[$p] - $b.logp[$p]) | fabs),
			entropy: (($a.entropy[$p] - $b.entropy[$p]) | fabs),
			top1: ($a.top1[$p] == $b.top1[$p])} end] as $tokens
| {sets: ($sets | length), same_sets: ([$sets[] | select(.same)] | length),
	wrong_beyond_margin: ([$sets[] | select((.same | not) and .margin > 1e-4)] | length),
	norm: ([$sets[] | select(.same) | .pairs[].norm] | worst),
	gate: ([$sets[] | select(.same) | .pairs[].gate] | worst),
	tokens: ($tokens | length), logp: ([$tokens[].logp] | worst),
	entropy: ([$tokens[].entropy] | worst),
	top1_differs: ([$tokens[] | select(.top1 | not)] | length)}
