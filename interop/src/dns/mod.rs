//! An Internet of names for one test: a root of its own, zones below it, signed well and badly, and the servers that
//! serve them: named for the root and the top, knotd for what is below, unbound for those who do not ask themselves.

mod scripted;
mod servers;
mod tree;
mod zones;

pub use scripted::{Answers, Question, Scripted};
pub use servers::{Server, Unbound};
pub use tree::Tree;
pub use zones::Zone;
