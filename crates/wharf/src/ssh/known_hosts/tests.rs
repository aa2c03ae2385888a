//! known_hosts as OpenSSH writes it, and as nobody should.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use russh::keys::PrivateKey;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::ssh_key::private::Ed25519Keypair;

use super::*;

const PORT: u16 = 22;
/// The key of the line below, whose host is hashed as ssh-keygen -H does it.
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDSn6Yvxg6S2KWVmTGnjLmO5yJ8b7wKZ8E4QXfTy1m1U5k5bGJq7c1gV2wzw0oWk8vVb4m7mQkq1m2n3b4v5c6x7z8a9s0d1f2g3h4j5k6l7q8w9e0r1t2y3u4i5o6p7Q8W9E0R1T2Y3U4I5O6P7A8S9D0F==";

fn private(seed: u8) -> PrivateKey {
    Ed25519Keypair::from_seed(&[seed; 32]).into()
}

fn key(seed: u8) -> PublicKey {
    private(seed).public_key().clone()
}

fn line(seed: u8) -> String {
    key(seed).to_openssh().unwrap().trim().to_owned()
}

fn known(text: &str) -> KnownHosts {
    let mut known = KnownHosts::default();
    known.add(Path::new("known_hosts"), text.as_bytes());
    known
}

fn check(text: &str, host: &str, port: u16, seed: u8) -> Verdict {
    known(text).check(host, port, &key(seed).into(), UNIX_EPOCH)
}

fn is_known(text: &str, host: &str, port: u16, seed: u8) -> bool {
    matches!(check(text, host, port, seed), Verdict::Known(_))
}

#[test]
fn a_host_has_the_keys_of_all_its_lines() {
    let text = format!("# comment\n\na,b,10.0.0.1 {}\na {} of 2019\n", line(1), line(2));
    for seed in [1, 2] {
        assert!(is_known(&text, "a", PORT, seed));
        assert!(is_known(&text, "A", PORT, seed), "names have no case");
    }
    assert!(is_known(&text, "b", PORT, 1) && is_known(&text, "10.0.0.1", PORT, 1));
    assert!(matches!(check(&text, "c", PORT, 1), Verdict::Unknown { others } if others.is_empty()));
}

#[test]
fn a_changed_key_is_told_with_its_place_and_the_known_fingerprint() {
    let text = format!("other {}\nhost {}\n", line(3), line(1));
    let Verdict::Changed { place, fingerprint: print } = check(&text, "host", PORT, 2) else { panic!() };
    assert_eq!(place.to_string(), "known_hosts:2");
    assert_eq!(print, fingerprint(&key(1)));
}

#[test]
fn a_key_of_another_kind_is_unknown_and_the_known_ones_are_listed() {
    let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9\
                 nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=";
    let text = format!("host {ecdsa}\n");
    let known = known(&text);
    assert_eq!(known.notes().0, []);
    assert!(
        matches!(known.check("host", PORT, &key(1).into(), UNIX_EPOCH), Verdict::Unknown { others } if others[0].line == 1)
    );
}

#[test]
fn wildcards_match_and_negations_take_back() {
    let text = format!("*.example.net,!bad.example.net,10.0.0.? {}\n", line(1));
    assert!(is_known(&text, "good.example.net", PORT, 1));
    assert!(is_known(&text, "10.0.0.7", PORT, 1));
    for host in ["bad.example.net", "example.net", "10.0.0.77", "x10.0.0.7"] {
        assert!(!is_known(&text, host, PORT, 1), "{host}");
    }
    // Only the key of a line that is about the host can have changed.
    assert!(matches!(check(&text, "bad.example.net", PORT, 2), Verdict::Unknown { .. }));
}

#[test]
fn another_port_has_a_name_of_its_own() {
    let text = format!("[host]:2222 {}\n", line(1));
    assert!(is_known(&text, "host", 2222, 1));
    assert!(!is_known(&text, "host", PORT, 1) && !is_known(&text, "host", 2223, 1));
    // A key that the host has on port 22 is as good; another one there has not changed here.
    let plain = format!("host {}\n", line(1));
    assert!(is_known(&plain, "host", 2222, 1));
    assert!(matches!(check(&plain, "host", 2222, 2), Verdict::Unknown { .. }));
}

#[test]
fn hashed_names_are_found() {
    // The form that ssh-keygen -H writes is read without a complaint.
    let hashed = "|1|JfKTdBh7rNbXkVAQCRp4OQoPfmI=|USECr3SWf1JUPsms5AqfD5QfxkM=";
    let text = format!("{hashed} {}\n", line(1));
    assert!(known(&text).notes().0.is_empty());
    let ours = format!("{} {}\n", entry::hashed("[host]:2222", &[7; 20]), line(2));
    assert!(is_known(&ours, "host", 2222, 2));
    assert!(!is_known(&ours, "host", PORT, 2));
    assert!(matches!(check(&ours, "host", 2222, 1), Verdict::Changed { .. }));
}

#[test]
fn a_revoked_key_is_refused_whatever_else_is_said_of_it() {
    let text = format!("host {}\n@revoked * {}\n", line(1), line(1));
    assert!(matches!(check(&text, "host", PORT, 1), Verdict::Revoked(place) if place.line == 2));
    assert!(matches!(check(&text, "elsewhere", 2222, 1), Verdict::Revoked(_)));
    // A revoked key is no sign of a change.
    let text = format!("@revoked host {}\n", line(1));
    assert!(matches!(check(&text, "host", PORT, 2), Verdict::Unknown { .. }));
}

fn certificate(kind: CertType, principals: &[&str], authority: u8) -> Certificate {
    let mut builder = Builder::new([9; 16], key(1).key_data().clone(), 1000, 2000).unwrap();
    builder.cert_type(kind).unwrap().key_id("test").unwrap();
    if principals.is_empty() {
        builder.all_principals_valid().unwrap();
    }
    for principal in principals {
        builder.valid_principal(*principal).unwrap();
    }
    builder.sign(&private(authority)).unwrap()
}

fn judged(text: &str, certificate: &Certificate, host: &str, at: u64) -> Verdict {
    known(text).check(host, PORT, &certificate.clone().into(), UNIX_EPOCH + Duration::from_secs(at))
}

#[test]
fn an_authority_vouches_for_its_hosts_within_the_certificates_time() {
    let text = format!("@cert-authority *.example.net {}\n", line(5));
    let good = certificate(CertType::Host, &["a.example.net", "*.b.example.net"], 5);
    assert!(matches!(judged(&text, &good, "a.example.net", 1500), Verdict::Known(_)));
    assert!(matches!(judged(&text, &good, "x.b.example.net", 1500), Verdict::Known(_)));
    let refused = |certificate: &Certificate, host, at, why: &str| match judged(&text, certificate, host, at) {
        Verdict::BadCertificate { reason, .. } => assert!(reason.contains(why), "{reason}"),
        other => panic!("{why}: {other:?}"),
    };
    refused(&good, "a.example.net", 999, "not valid yet");
    refused(&good, "a.example.net", 2000, "expired");
    refused(&good, "c.example.net", 1500, "it is for a.example.net");
    refused(&certificate(CertType::User, &["a.example.net"], 5), "a.example.net", 1500, "user");
    refused(&certificate(CertType::Host, &[], 5), "a.example.net", 1500, "names no host");
}

#[test]
fn a_certificate_of_a_stranger_is_worth_its_key_alone() {
    let text = format!("@cert-authority *.example.net {}\nb.example.net {}\n", line(5), line(1));
    let strange = certificate(CertType::Host, &["a.example.net", "b.example.net"], 6);
    assert!(matches!(judged(&text, &strange, "a.example.net", 1500), Verdict::Unknown { .. }));
    assert!(matches!(judged(&text, &strange, "b.example.net", 1500), Verdict::Known(_)));
    // An authority for other hosts is none for this one.
    let other = certificate(CertType::Host, &["host"], 5);
    assert!(matches!(judged(&text, &other, "host", 1500), Verdict::Unknown { .. }));
}

#[test]
fn a_revoked_authority_or_key_spoils_the_certificate() {
    let good = certificate(CertType::Host, &["host"], 5);
    for revoked in [5, 1] {
        let text = format!("@cert-authority * {}\n@revoked * {}\n", line(5), line(revoked));
        assert!(matches!(judged(&text, &good, "host", 1500), Verdict::Revoked(_)));
    }
}

#[test]
fn an_authority_is_no_hosts_own_key() {
    let text = format!("@cert-authority host {}\n", line(1));
    assert!(matches!(check(&text, "host", PORT, 1), Verdict::Unknown { .. }));
}

#[test]
fn bad_lines_are_skipped_with_a_note_each_and_the_notes_are_bounded() {
    let good = line(1);
    let bad = [
        "host".to_owned(),
        "host ssh-ed25519".to_owned(),
        "host ssh-ed25519 AAAA".to_owned(),
        format!("@unknown host {good}"),
        format!("|2|salt|hash {good}"),
        format!("|1|JfKTdBh7rNbXkVAQCRp4OQoPfmI= {good}"),
        format!("|1|JfKTdBh7rNbXkVAQCRp4OQoPfmI=|AAAA {good}"),
        format!("|1|*|* {good}"),
        format!("host{} {good}", "x".repeat(LONGEST_LINE)),
        RSA.to_owned(),
    ];
    let text = format!("{}\nhost {good}\n", bad.join("\n"));
    let read = known(&text);
    assert_eq!(read.notes().0.len(), bad.len());
    assert_eq!(read.notes().0[2].to_string(), "known_hosts:3: this line is skipped: its key cannot be read");
    assert!(is_known(&text, "host", PORT, 1));
    let (kept, more) = (known(&"@x\n".repeat(100)).notes().0.len(), known(&"@x\n".repeat(100)).notes().1);
    assert_eq!((kept, more), (MOST_NOTES, 100 - MOST_NOTES));
    let mut binary = KnownHosts::default();
    binary.add(Path::new("x"), b"\xff\xfe\n");
    assert_eq!(binary.notes().0.len(), 1);
}

#[test]
fn a_new_key_is_appended_for_its_owner_alone_and_found_again() {
    let folder = std::env::temp_dir().join(format!("wharf-known-hosts-{}", std::process::id()));
    let file = folder.join("ssh/known_hosts");
    KnownHosts::append(&file, "Host", PORT, &key(1), false).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    // Somebody's editor left the last line without its end.
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, format!("host {}\n", line(1)));
    std::fs::write(&file, text.trim_end()).unwrap();
    KnownHosts::append(&file, "other", 2222, &key(2), false).unwrap();
    KnownHosts::append(&file, "hidden", PORT, &key(3), true).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 3);
    assert!(!text.contains("hidden"));
    let known = KnownHosts::read(&[file.clone(), folder.join("missing")]).unwrap();
    for (host, port, seed) in [("host", PORT, 1), ("other", 2222, 2), ("hidden", PORT, 3)] {
        assert!(matches!(known.check(host, port, &key(seed).into(), UNIX_EPOCH), Verdict::Known(_)), "{host}");
    }
    assert!(KnownHosts::read(std::slice::from_ref(&folder)).is_err(), "a folder is no file");
    std::fs::remove_dir_all(folder).unwrap();
}

/// A small generator, so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize
    }
}

#[test]
fn no_file_however_mutated_panics_or_is_believed_for_nothing() {
    let authority = certificate(CertType::Host, &["host"], 5);
    let text = format!(
        "host,*.net,!x.net {}\n[host]:2222 {}\n@revoked * {}\n@cert-authority host {}\n{} {}\n",
        line(1),
        line(2),
        line(3),
        line(5),
        entry::hashed("host", &[1; 20]),
        line(4)
    );
    for seed in 0..3000 {
        let mut random = Random(seed);
        let mut mutated = text.clone().into_bytes();
        for _ in 0..=random.next() % 8 {
            let at = random.next() % mutated.len();
            match random.next() % 5 {
                0 => mutated[at] = random.next() as u8,
                1 => mutated.truncate(at.max(1)),
                2 => mutated.insert(at, b"|@*!,[]: \n\0=1"[random.next() % 13]),
                3 => {
                    mutated.remove(at);
                    if mutated.is_empty() {
                        mutated.push(b'\n');
                    }
                }
                _ => {
                    let piece = mutated[at..(at + random.next() % 40).min(mutated.len())].to_vec();
                    let to = random.next() % mutated.len();
                    mutated.splice(to..to, piece);
                }
            }
        }
        let mut known = KnownHosts::default();
        known.add(Path::new("mutated"), &mutated);
        assert!(known.notes().0.len() <= MOST_NOTES);
        // A key that stands nowhere in the file is never known, whatever became of the file.
        let verdict = known.check("host", PORT, &key(200).into(), UNIX_EPOCH);
        assert!(!matches!(verdict, Verdict::Known(_)), "seed {seed}: {verdict:?}");
        let _ = known.check("host", 2222, &authority.clone().into(), UNIX_EPOCH + Duration::from_secs(1500));
        let _ = known.kinds("host", PORT);
    }
}
