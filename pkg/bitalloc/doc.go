// Package bitalloc spends a budget of bytes on the parts of a model: of each part's options, which take so many bytes and do so
// much damage, it picks one, so that all fit into the budget and the sum of the damages is least.
//
//	minimize    sum_i damage_i(x_i)     over the choices x
//	subject to  sum_i bytes_i(x_i) <= budget
//
// That is the multiple-choice knapsack problem (Kellerer, Pferschy and Pisinger 2004, "Knapsack Problems", ch. 11). [Solve] is
// exact: no other choice that fits has a smaller sum, so more budget never does more damage.
//
// # How
//
// The parts are decided one after the other, and of all beginnings only those are kept that no other beats in bytes and damage
// at once (Nemhauser and Ullmann 1969). Most of them are never needed: with a price of w per byte the choice falls apart into
// one for each part, which bounds from below what a beginning can still become, and whatever is bound to end above the best
// whole choice known is dropped,
//
//	damage so far + sum over the rest of min (damage + w*bytes) - w*(budget - bytes so far) > best known.
//
// The price is the one at which the cheapest choice first fits; that choice, with what is left of the budget spent greedily, is
// the first best known. The bound is then less than one option's worth away, and the work is small for the problems that
// models pose. The problem is NP-hard, so that there are others: when more beginnings are alive than memory is meant for, that
// is an error and not a worse answer.
package bitalloc
