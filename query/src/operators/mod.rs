//! Physical operators over the vector layout, one a file. They know no language and hold no process state.
