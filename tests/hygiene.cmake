# Tests of the tree itself; filled below.
