//! The library under test, loaded as packetdrill loads it.

use std::ffi::{CString, c_char, c_void};
use std::mem::MaybeUninit;
use std::path::PathBuf;

use crate::abi::Interface;

/// `packetdrill_interface_init`.
type Init = unsafe extern "C" fn(*const c_char, *mut Interface);

/// The loaded library.
pub(crate) struct Library {
    init: Init,
}

impl Library {
    /// Loads the library that cargo has built beside this program, or the one that `WHARF_PACKETDRILL` names.
    pub(crate) fn load() -> Result<Self, String> {
        const NAME: &str = "libwharf_packetdrill.so";
        let path = match std::env::var_os("WHARF_PACKETDRILL") {
            Some(path) => PathBuf::from(path),
            None => {
                let here = std::env::current_exe().map_err(|error| error.to_string())?;
                let found = here.ancestors().skip(1).map(|folder| folder.join(NAME)).find(|path| path.exists());
                found.ok_or(format!("{NAME} is not beside the tests: cargo build -p wharf-packetdrill"))?
            }
        };
        let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())?;
        // SAFETY: a C string; the library's constructors are Rust's own.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE) };
        if handle.is_null() {
            return Err(format!("{} cannot be loaded", path.display()));
        }
        // SAFETY: the handle is good, the name a C string.
        let symbol = unsafe { libc::dlsym(handle, c"packetdrill_interface_init".as_ptr()) };
        if symbol.is_null() {
            return Err(format!("{} has no packetdrill_interface_init", path.display()));
        }
        // SAFETY: a function of that name has that type: it is packetdrill's contract.
        Ok(Self { init: unsafe { std::mem::transmute::<*mut c_void, Init>(symbol) } })
    }

    /// A stack for one script.
    pub(crate) fn start(&self, flags: &str) -> Result<Stack, String> {
        let flags = CString::new(flags).map_err(|error| error.to_string())?;
        let mut table = MaybeUninit::<Interface>::uninit();
        // SAFETY: `init` fills in the whole table; that is its contract.
        let table = unsafe {
            (self.init)(flags.as_ptr(), table.as_mut_ptr());
            table.assume_init()
        };
        Ok(Stack { table })
    }
}

/// One stack under test.
pub(crate) struct Stack {
    pub table: Interface,
}

// SAFETY: the table's functions may be called from two threads; that is its contract.
unsafe impl Send for Stack {}
// SAFETY: as above.
unsafe impl Sync for Stack {}

impl Stack {
    fn data(&self) -> *mut c_void {
        self.table.userdata
    }

    /// The stack's time in microseconds.
    pub(crate) fn now(&self) -> i64 {
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
        // SAFETY: room for the time; no zone.
        unsafe { (self.table.gettimeofday)(self.data(), &raw mut time, std::ptr::null_mut()) };
        time.tv_sec * 1_000_000 + time.tv_usec
    }

    /// Sleeps until a time, if it is not past.
    pub(crate) fn sleep_until(&self, time: i64) {
        while let Ok(micros @ 1..) = u32::try_from((time - self.now()).min(1_000_000_000)) {
            // SAFETY: no pointers.
            unsafe { (self.table.usleep)(self.data(), micros) };
        }
    }

    /// A packet arrives.
    pub(crate) fn inject(&self, packet: &[u8]) {
        // SAFETY: a packet of that length.
        unsafe { (self.table.netdev_send)(self.data(), packet.as_ptr().cast(), packet.len()) };
    }

    /// The next packet that leaves, and when; `None` if none ever will.
    pub(crate) fn sniff(&self) -> Option<(i64, Vec<u8>)> {
        let mut bytes = vec![0; 65_536];
        let (mut len, mut time) = (bytes.len(), 0);
        // SAFETY: room for so many bytes, and for the two numbers.
        unsafe { (self.table.netdev_receive)(self.data(), bytes.as_mut_ptr().cast(), &raw mut len, &raw mut time) };
        bytes.truncate(len);
        (len > 0).then_some((time, bytes))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: nobody calls anything after this.
        unsafe { (self.table.free)(self.data()) };
    }
}
