//! Engines that have nothing to do use no processor time. One test, for it looks at the time of the whole process.

mod common;

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use common::{LEFT, RIGHT, on_cable, pair};
use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use links::Link;
use wharf::net::{TcpListener, TcpStream};
use wharf::{MacAddr, Net};

/// A link that knows nothing of its other end, which is gone.
struct HungUp(UnixStream);

impl Device for HungUp {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(MacAddr([2, 0, 0, 0, 0, 9]), 1_500)
    }

    fn transmit(&mut self, _frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        Err(TransmitError::Lost)
    }

    fn receive(&mut self, _budget: usize, _input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        0
    }
}

impl Link for HungUp {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn name(&self) -> &str {
        "hung up"
    }
}

#[test]
fn idle_engines_and_broken_links_use_no_time() {
    // L1, T36: connections that are idle, and a link whose other end is gone, which poll(2) reports for ever.
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).unwrap();
    let streams: Vec<_> = (0..50).map(|_| TcpStream::connect(&left, listener.local_addr().unwrap()).unwrap()).collect();
    let (lonely, other) = UnixStream::pair().unwrap();
    let lonely = Net::builder().link(HungUp(lonely)).address(on_cable(LEFT)).build().unwrap();
    drop(other);

    thread::sleep(Duration::from_millis(200));
    let before = processor_time();
    thread::sleep(Duration::from_millis(500));
    let used = processor_time() - before;
    // A thread that spins would have used 500 ms, or half of it on a busy machine.
    assert!(used <= Duration::from_millis(50), "{used:?}");
    drop((streams, lonely));
}

/// Processor time that this process has used.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // USER_HZ is 100 on every Linux.
    Duration::from_millis(ticks * 10)
}
