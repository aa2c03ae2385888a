//! The user-mode gateway.
