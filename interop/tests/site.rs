//! Where commands are tried that leave files: a device, and a folder of its own that they run in. For `wget`, `wget_again` and
//! `bad_input`.

use std::fs;
use std::path::{Path, PathBuf};

use wharf_interop::{Program, Tap, World};

pub(crate) struct Site<'a> {
    pub(crate) world: &'a World,
    pub(crate) tap: Tap,
    pub(crate) into: PathBuf,
}

impl<'a> Site<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        Self { world, tap: world.tap(), into: world.make_directory("into") }
    }

    /// The command with `arguments`, over the device, in that folder.
    pub(crate) fn wharf(&self, arguments: &[&str]) -> Program<'a> {
        let (into, by_hand) = (self.into.to_string_lossy(), self.tap.by_hand());
        let by_hand: Vec<&str> = by_hand.iter().map(String::as_str).collect();
        self.world.wharf(arguments).arguments(&by_hand).directory(&into)
    }

    /// `wharf wget` with `arguments`.
    pub(crate) fn wget(&self, arguments: &[&str]) -> Program<'a> {
        self.wharf(&["wget"]).arguments(arguments)
    }

    /// What is in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.into)
    }

    /// What stands in one of its files.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.into.join(name)).unwrap()
    }
}

/// What is in a folder, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
