//! The engine: every protocol of Wharf without clock, entropy, device or lock.
