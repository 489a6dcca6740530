#!/bin/sh
# rustdoc, allowed to write JSON, which a stable one is not by itself. Only rustdoc is told so: in the
# environment of cargo it would have every build script run again.
RUSTC_BOOTSTRAP=1 exec rustdoc "$@"
