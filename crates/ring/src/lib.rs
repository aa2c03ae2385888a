//! Single-producer single-consumer byte rings on the heap or in shared memory.
