use std::fs;
use std::path::PathBuf;

use super::*;

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);

/// Such a directory as the kernel shows of an interface.
struct Shown(PathBuf);

impl Shown {
    fn new(test: &str, address: &str, threaded: &str) -> Self {
        let interfaces = std::env::temp_dir().join(format!("wharf-links-{test}-{}", std::process::id()));
        fs::create_dir_all(interfaces.join("tap0")).unwrap();
        fs::write(interfaces.join("tap0/address"), address).unwrap();
        fs::write(interfaces.join("tap0/threaded"), threaded).unwrap();
        Self(interfaces)
    }

    fn setting(&self) -> String {
        fs::read_to_string(self.0.join("tap0/threaded")).unwrap()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn setting_is_made_once() {
    let shown = Shown::new("once", "02:00:00:00:00:07\n", "0\n");
    enable_in(&shown.0, "tap0", OURS).unwrap();
    assert_eq!(shown.setting(), "1");
    fs::write(shown.0.join("tap0/threaded"), "1\n").unwrap();
    enable_in(&shown.0, "tap0", OURS).unwrap();
    assert_eq!(shown.setting(), "1\n", "what is set already is not written again");
}

#[test]
fn interface_of_the_same_name_in_another_namespace_is_left_alone() {
    let shown = Shown::new("other", "02:00:00:00:00:08\n", "0\n");
    assert_eq!(enable_in(&shown.0, "tap0", OURS).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(shown.setting(), "0\n");
    assert_eq!(enable_in(&shown.0, "tap1", OURS).unwrap_err().kind(), ErrorKind::NotFound);
}
