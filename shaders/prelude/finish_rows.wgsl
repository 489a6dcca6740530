    // The row to finish is always the first and the others move up: written out row by row, this would take a driver
    // longer to compile than all the rest. Rows move by ones among four, and by fours among all: one loop more would move
    // fewer, but LLVM, which has the sums on the stack, then has worse code for all loops that they are in, by a sixth of
    // the time of a product of many terms. Tiles of three and four quads are those of cells whose gates are apart, which
    // are finished together; see `gates`.
    let end = min(top + {TM}u, p.m);
    for (var row = top; row < end;) {
        let stop = min(row + 4u, end);
        for (; row < stop; row++) {
//: if Q / 3 == 1
            finish_units(row, left, c0_0, c0_1, c0_2, c0_{Q - 1});
//: else
//: for j in 0..Q
            finish(row, left + {4 * L * j}u, c0_{j});
//: end
//: end
//: for j in 0..Q
//: for i in 1..4
            c{i - 1}_{j} = c{i}_{j};
//: end
//: end
        }
//: for j in 0..Q
//: for i in 4..TM
        c{i - 4}_{j} = c{i}_{j};
//: end
//: end
    }
