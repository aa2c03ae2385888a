//! The kernel's half of a TAP device on a thread of the kernel's own: NAPI's threaded mode (Linux
//! Documentation/networking/napi.rst). Called by `tap`, for a device that has been attached to with IFF_NAPI: only
//! then has it anything to run on the thread.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use wire::ethernet::MacAddr;

/// Where the kernel shows the interfaces of the network namespace in which it was mounted.
const INTERFACES: &str = "/sys/class/net";

/// Makes the kernel take in on a thread what is written to the interface `name`, which has the address `mac`. The
/// interface keeps the setting.
///
/// # Errors
/// What the kernel answers; EOPNOTSUPP when the interface has no NAPI instance.
pub(crate) fn enable(name: &str, mac: MacAddr) -> io::Result<()> {
    enable_in(Path::new(INTERFACES), name, mac)
}

fn enable_in(interfaces: &Path, name: &str, mac: MacAddr) -> io::Result<()> {
    let interface = interfaces.join(name);
    // What is mounted may be another namespace's, and have an interface of the same name.
    if fs::read_to_string(interface.join("address"))?.trim() != mac.to_string() {
        return Err(io::Error::new(ErrorKind::NotFound, "/sys shows another network namespace"));
    }
    let setting = interface.join("threaded");
    // To look needs no rights.
    if fs::read(&setting)?.trim_ascii() == b"1" {
        return Ok(());
    }
    fs::write(setting, "1")
}

#[cfg(test)]
mod tests;
