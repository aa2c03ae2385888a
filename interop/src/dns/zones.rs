//! Zone files, and signing them with BIND's tools.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::program::Program;
use crate::world::World;

/// A zone file, and what its parent has to know.
pub struct Zone {
    name: String,
    file: PathBuf,
    ds: String,
    key: Option<PathBuf>,
}

impl Zone {
    /// A zone without signatures: `name` as it is written, with its final dot; served by `server`, which is `ns` below
    /// it; with `records` besides.
    #[must_use]
    pub fn unsigned(world: &World, name: &str, server: Ipv4Addr, records: &str) -> Self {
        let stem = if name == "." { "root" } else { name.trim_end_matches('.') };
        let text = format!(
            "$ORIGIN {name}\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A {server}\n{records}\n"
        );
        let directory = world.make_directory("zones");
        let file = directory.join(format!("{stem}.zone"));
        fs::write(&file, text).expect("the test's directory takes files");
        Self { name: name.to_owned(), file, ds: String::new(), key: None }
    }

    /// The same signed with a key of its own, by `dnssec-signzone` with further `options`.
    ///
    /// # Panics
    ///
    /// When BIND's tools refuse.
    #[must_use]
    pub fn signed(world: &World, name: &str, server: Ipv4Addr, records: &str, options: &[&str]) -> Self {
        let mut zone = Self::unsigned(world, name, server, records);
        let directory = zone.file.parent().unwrap_or(Path::new("/")).to_owned();
        let at = directory.to_string_lossy().into_owned();
        let made = Program::new(world, "dnssec-keygen")
            .arguments(&["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "-K", &at, name])
            .run()
            .succeeded();
        zone.key = Some(directory.join(format!("{}.key", made.stdout.trim())));
        let (file, signed) = (zone.file.to_string_lossy().into_owned(), format!("{}.signed", zone.file.display()));
        // One key signs all (-z); what it signed badly on purpose is not checked (-P).
        let fixed = ["-q", "-P", "-S", "-z", "-K", &at, "-d", &at, "-o", name, "-f", &signed];
        Program::new(world, "dnssec-signzone")
            .arguments(&fixed)
            .arguments(options)
            .arguments(&[&file])
            .run()
            .expect_success();
        zone.ds = fs::read_to_string(directory.join(format!("dsset-{name}"))).expect("dnssec-signzone writes the DS");
        zone.file = PathBuf::from(signed);
        zone
    }

    /// The zone's name with its final dot.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The DS record for the parent; nothing for a zone that is not signed.
    #[must_use]
    pub fn ds(&self) -> &str {
        &self.ds
    }

    /// The file with the zone's key, as a trust anchor.
    ///
    /// # Panics
    ///
    /// For a zone that is not signed.
    #[must_use]
    pub fn anchor(&self) -> &Path {
        self.key.as_deref().expect("the zone is signed")
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Changes the file, after it was signed.
    ///
    /// # Panics
    ///
    /// When nothing changes: the test would prove nothing.
    #[must_use]
    pub fn edited(self, edit: impl Fn(&str) -> String) -> Self {
        let before = fs::read_to_string(&self.file).expect("the zone was written");
        let after = edit(&before);
        assert_ne!(before, after, "the zone {} is not changed", self.name);
        fs::write(&self.file, after).expect("the test's directory takes files");
        self
    }
}
