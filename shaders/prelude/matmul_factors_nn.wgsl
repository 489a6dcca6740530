// The factors of a product, by elements and by fours. Past the last row or column is that row or
// column again, for nothing made of it is kept; past the last k is 0. A k that rows run along is a
// multiple of 4 where V is 4, and nothing is past it.
//: include factor_a
//: include factor_b_nn
