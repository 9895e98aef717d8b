"""Floor 2: from archives to canonical layers: linker, bytecode, tar, compression."""
