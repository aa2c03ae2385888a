//! Names of files, and what stands under them at every moment.

use std::fs;
use std::path::{Path, PathBuf};

use wharf::http::Url;

use super::destination::Destination;
use super::names::{default_name, listed};
use super::part::{About, Part, content_range};
use wharf::http::{HeaderMap, HeaderName, HeaderValue};

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

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

const STRONG: &[(&str, &str)] = &[("etag", "\"a\"")];

#[test]
fn a_part_stays_with_what_the_server_called_it_and_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut part = Part::open(&path).unwrap();
    assert_eq!(part.resumable("http://h/file"), None);
    part.start_anew(About::of("http://h/file", &fields(STRONG))).unwrap();
    part.write(b"half").unwrap();
    drop(part);
    assert_eq!(names(folder.path()), ["file.part", "file.part.json"]);
    let mut part = Part::open(&path).unwrap();
    assert_eq!(part.resumable("http://h/other"), None);
    assert_eq!(part.resumable("http://h/file"), Some((4, "\"a\"")));
    part.go_on().unwrap();
    part.write(b" and half").unwrap();
    assert_eq!(part.finish().unwrap(), path);
    assert_eq!(fs::read(path).unwrap(), b"half and half");
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn a_part_that_cannot_be_gone_on_with_leaves_nothing() {
    let weak = [("etag", "W/\"a\""), ("last-modified", "Fri, 15 Jan 2027 11:50:00 GMT")];
    let just_now = [("date", "Fri, 15 Jan 2027 11:50:00 GMT"), ("last-modified", "Fri, 15 Jan 2027 11:50:00 GMT")];
    for headers in [&[][..], &weak, &just_now] {
        let folder = tempfile::tempdir().unwrap();
        let mut part = Part::open(&folder.path().join("file")).unwrap();
        part.start_anew(About::of("http://h/file", &fields(headers))).unwrap();
        part.write(b"half").unwrap();
        drop(part);
        assert!(names(folder.path()).is_empty(), "{headers:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    drop(Part::open(&folder.path().join("file")).unwrap());
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_part_with_a_damaged_description_is_fetched_anew_and_one_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(folder.path().join("file.part"), "half").unwrap();
    fs::write(folder.path().join("file.part.json"), "{\"url\":").unwrap();
    let part = Part::open(&path).unwrap();
    assert_eq!(part.resumable("http://h/file"), None);
    let error = Part::open(&path).err().unwrap().to_string();
    assert!(error.contains("file.part is being written by another download"), "{error}");
}

#[test]
fn ranges_are_read_as_the_rfc_writes_them() {
    let read = |text: &'static str| content_range(&fields(&[("content-range", text)]));
    assert_eq!(read("bytes 5-9/10"), Some((Some(5), Some(10))));
    assert_eq!(read("bytes 5-9/*"), Some((Some(5), None)));
    assert_eq!(read("bytes */10"), Some((None, Some(10))));
    for nonsense in ["", "bytes", "bytes 5-9", "bytes x-9/10", "lines 5-9/10", "bytes 5-9/99999999999999999999"] {
        assert_eq!(read(nonsense), None, "{nonsense}");
    }
}

#[test]
fn a_list_has_a_url_a_line_and_remarks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    fs::write(&path, "# mine\nhttp://h/a\r\n\n  http://h/b  \n").unwrap();
    assert_eq!(listed(&path).unwrap(), ["http://h/a", "http://h/b"]);
    for text in ["", "# nothing\n"] {
        fs::write(&path, text).unwrap();
        assert!(listed(&path).unwrap_err().to_string().contains("holds no URL"));
    }
    fs::write(&path, b"\xff").unwrap();
    assert!(listed(&path).unwrap_err().to_string().contains("cannot be read"));
}
