//! Hosts and links under one seed and one virtual clock, for tests.
