//! Linux links: TAP, open descriptors, the user-mode gateway, pcapng capture.
//!
//! A link is a [`device::Device`] that a thread can sleep on. Whoever drives an engine over one (the library's engine
//! thread, the gateway, tests) polls [`Link::fd`], calls `receive` when it is readable or when [`Link::deadline`] has
//! come, and `transmit` for what the engine emits:
//!
//! ```text
//! loop {
//!     poll(fd for reading, and for writing while wants_write(); until deadline() and the engine's own)
//!     link.receive(budget, |frame| stack.handle_frame(..))   // less than the budget: no frame is left
//!     stack.poll_transmit(|frame| link.transmit(frame))      // Full: the engine keeps the frame
//!     link.flush()
//! }
//! ```
//!
//! [`spec::LinkSpec`] makes a link from its name on a command line. Outside of the ring, unsafe code is here alone:
//! the calls to the kernel that take addresses.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use device::Device;

pub mod capture;
mod counters;
mod descriptor;
pub mod error;
pub mod fd;
mod gather;
pub mod mac;
mod message;
pub mod spec;
pub mod steered;
mod stream;
pub mod tap;
mod threaded;
mod tun;
pub mod user;
pub mod vnet;

pub use counters::Counters;
pub use error::OpenError;

/// A [`Device`] whose owner can sleep until there is something to do.
pub trait Link: Device + Send {
    /// Readable when `receive` would hand out frames or has work of its own. The same descriptor for as long as the
    /// link lives, so that it can be registered once.
    fn fd(&self) -> BorrowedFd<'_>;

    /// A second descriptor that says the same as [`fd`](Self::fd): readable when other engines have handed frames
    /// over to this one, see [`steered`]. `None` where there are no others.
    fn handed_over_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether a frame waits for room, ours or the one that `transmit` refused with
    /// [`Full`](device::TransmitError::Full): wait until [`fd`](Self::fd) is writable, offer the frame again, and
    /// `flush`. A turn that ends with `flush` and without another Full ends the waiting.
    fn wants_write(&self) -> bool {
        false
    }

    /// When to call `receive` even though [`fd`](Self::fd) stays silent; `None` when there is no such time.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What messages call the link: `tap0`, `user`, `fd:5`.
    fn name(&self) -> &str;

    /// Whether nobody but Wharf's own gateway is on the link, so that an address it assigns needs no probing.
    fn is_private(&self) -> bool {
        false
    }

    /// What crossed the link and what did not; zeros from a link whose frames never leave the process.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// A link behind a box is a link: what was opened by name can be captured and driven like any other.
impl Device for Box<dyn Link> {
    fn capabilities(&self) -> device::Capabilities {
        (**self).capabilities()
    }

    fn transmit(&mut self, frame: &device::TxFrame<'_>) -> Result<(), device::TransmitError> {
        (**self).transmit(frame)
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&device::RxFrame<'_>)) -> usize {
        (**self).receive(budget, input)
    }

    fn flush(&mut self) {
        (**self).flush();
    }

    fn link_up(&self) -> bool {
        (**self).link_up()
    }
}

impl Link for Box<dyn Link> {
    fn fd(&self) -> BorrowedFd<'_> {
        (**self).fd()
    }

    fn handed_over_fd(&self) -> Option<BorrowedFd<'_>> {
        (**self).handed_over_fd()
    }

    fn wants_write(&self) -> bool {
        (**self).wants_write()
    }

    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }

    fn name(&self) -> &str {
        (**self).name()
    }

    fn is_private(&self) -> bool {
        (**self).is_private()
    }
    fn counters(&self) -> Counters {
        (**self).counters()
    }
}
