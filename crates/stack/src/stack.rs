//! The engine's only door: [`Stack`].

/// One engine.
pub struct Stack {}
