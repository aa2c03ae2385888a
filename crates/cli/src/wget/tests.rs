//! Names of files, and what stands under them at every moment.

use std::fs;
use std::path::{Path, PathBuf};

use wharf::http::Url;

use super::default_name;
use super::destination::Destination;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_default_name_is_the_last_part_of_the_path_and_never_leaves_the_folder() {
    let name = |url: &str| default_name(&Url::parse(url).unwrap());
    assert_eq!(name("http://h/"), PathBuf::from("index.html"));
    assert_eq!(name("http://h"), PathBuf::from("index.html"));
    assert_eq!(name("http://h/a/b.iso?x=/y#z"), PathBuf::from("b.iso"));
    assert_eq!(name("http://h/a%20b"), PathBuf::from("a b"));
    assert_eq!(name("http://h/a/%2e%2e"), PathBuf::from("index.html"));
    assert_eq!(name("http://h/..%2f..%2fetc%2fpasswd"), PathBuf::from(".._.._etc_passwd"));
    assert_eq!(name("http://h/a%00%1bb"), PathBuf::from("a__b"));
    assert_eq!(name(&format!("http://h/{}", "x".repeat(1000))).as_os_str().len(), 240);
}

#[test]
fn a_file_has_no_name_until_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut destination = Destination::replacing(&path).unwrap();
    destination.write(b"half").unwrap();
    assert!(!names(folder.path()).contains(&"file".to_owned()));
    destination.write(b" and half").unwrap();
    assert_eq!(destination.finish().unwrap(), Some(path.clone()));
    assert_eq!(fs::read(path).unwrap(), b"half and half");
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn what_is_given_up_leaves_nothing_and_spares_the_older_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "older").unwrap();
    let mut destination = Destination::replacing(&path).unwrap();
    destination.write(b"half").unwrap();
    drop(destination);
    assert_eq!(names(folder.path()), ["file"]);
    assert_eq!(fs::read(path).unwrap(), b"older");
}

#[test]
fn a_replaced_file_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "older and longer").unwrap();
    let mut destination = Destination::replacing(&path).unwrap();
    destination.write(b"new").unwrap();
    destination.finish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn through_a_symbolic_link_the_file_behind_it_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&path, "older").unwrap();
    std::os::unix::fs::symlink("file", &link).unwrap();
    let mut destination = Destination::replacing(&link).unwrap();
    destination.write(b"new").unwrap();
    destination.finish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn without_a_name_given_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for expected in ["file", "file.1", "file.2"] {
        let mut destination = Destination::numbered(&path).unwrap();
        destination.write(expected.as_bytes()).unwrap();
        assert_eq!(destination.finish().unwrap(), Some(folder.path().join(expected)));
        assert_eq!(fs::read(folder.path().join(expected)).unwrap(), expected.as_bytes());
    }
}

#[test]
fn folders_and_missing_folders_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path| Destination::replacing(path).err().unwrap().to_string();
    assert!(refused(folder.path()).contains("is a folder"));
    let missing = refused(&folder.path().join("no/file"));
    assert!(missing.contains("does not exist"), "{missing}");
}

#[test]
fn a_device_is_written_to_and_not_replaced() {
    let mut destination = Destination::replacing(Path::new("/dev/full")).unwrap();
    let error = destination.write(b"x").unwrap_err().to_string();
    assert!(error.contains("the disk is full"), "{error}");
    let mut destination = Destination::replacing(Path::new("/dev/null")).unwrap();
    destination.write(b"x").unwrap();
    assert_eq!(destination.finish().unwrap(), None);
}
