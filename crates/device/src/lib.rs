//! What the engine asks of a link: the Device trait and the frames that cross it.
