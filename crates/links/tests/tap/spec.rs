//! Links by name, opened where the kernel has what they name.

use device::Device;
use wharf_links::spec::LinkSpec;
use wharf_links::{Link, OpenError};

use crate::namespace::{in_namespace, make_tap};
use crate::packets::meet_kernel;

#[test]
fn tap_is_opened_by_name_with_its_interfaces_mtu_alone() {
    in_namespace(|| {
        make_tap("tap0", 1400);
        let spec: LinkSpec = "tap:tap0".parse().unwrap();
        let mut link = spec.open().unwrap();
        assert_eq!((link.name(), link.capabilities().mtu), ("tap0", 1400));
        assert!(!link.is_private());
        meet_kernel(&mut link);
        drop(link);
        let error = spec.open_with_mtu(Some(1300)).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::TapMtu(_)));
        assert!(error.to_string().contains("ip link set tap0 mtu"), "{error}");
    });
}

#[test]
fn interface_that_is_missing_is_told_with_the_command_that_makes_it() {
    in_namespace(|| {
        let spec: LinkSpec = "tap:quay0".parse().unwrap();
        let error = spec.open().map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("ip tuntap add dev quay0 mode tap"), "{error}");
        // For root the driver would have made one, down and without an address.
        assert!(!std::fs::read_to_string("/proc/net/dev").unwrap().contains("quay0"));
    });
}
