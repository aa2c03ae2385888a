//! ssh_config as people write it, and as they should not.

use std::time::Duration;

use super::*;
use crate::ssh::HostKeyPolicy;

fn read(host: &str, text: &str) -> (Settings, Vec<String>) {
    let mut reader = Reader::new(host, "me", Some(Path::new("/home/me")));
    reader.read_text(Path::new("config"), text).unwrap();
    reader.finish()
}

fn refused(text: &str) -> String {
    let mut reader = Reader::new("host", "me", None);
    reader.read_text(Path::new("config"), text).unwrap_err().to_string()
}

#[test]
fn the_first_value_for_a_host_holds() {
    let text = "User early\nHost a b*\n  User late\n  Port 2200\nHost *\n\tPort=22\n  HostName = %h.example.net\n";
    let (settings, notes) = read("a", text);
    assert_eq!((settings.user.as_deref(), settings.port), (Some("early"), Some(2200)));
    assert_eq!(settings.host_name.as_deref(), Some("%h.example.net"));
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(read("c", text).0.port, Some(22));
    assert_eq!(read("bee", text).0.port, Some(2200));
}

#[test]
fn negated_hosts_are_left_out() {
    let text = "Host *.net !x.net\nPort 1\n";
    assert_eq!(read("a.net", text).0.port, Some(1));
    assert_eq!(read("x.net", text).0.port, None);
}

#[test]
fn the_command_line_comes_before_the_files() {
    let mut reader = Reader::new("a", "me", None);
    reader.set("Port=99").unwrap();
    reader.set("User me2").unwrap();
    reader.read_text(Path::new("config"), "Port 22\nUser other\n").unwrap();
    let (settings, _) = reader.finish();
    assert_eq!((settings.port, settings.user.as_deref()), (Some(99), Some("me2")));
    let mut reader = Reader::new("a", "me", None);
    assert!(reader.set("Nonsense=1").unwrap_err().to_string().contains("not known"));
    assert!(reader.set("Port=0").is_err() && reader.set("").is_err() && reader.set("Port").is_err());
}

#[test]
fn an_agent_is_forwarded_from_its_own_place_or_another() {
    let forwards = |text: &str| read("h", text).0.forward_agent;
    assert_eq!(forwards("ForwardAgent yes"), Some(ForwardAgent::Own));
    assert_eq!(forwards("ForwardAgent no\nForwardAgent yes"), Some(ForwardAgent::No));
    assert_eq!(forwards("ForwardAgent ~/agent"), Some(ForwardAgent::At("~/agent".to_owned())));
    assert_eq!(read("h", "CertificateFile a\nCertificateFile b").0.certificate_files, ["a", "b"]);
}

#[test]
fn the_words_of_a_long_entry_are_understood() {
    let text = "Host h\n IdentityFile ~/.ssh/a\n IdentityFile \"/with space/b\" # the spare\n IdentitiesOnly yes\n\
         ProxyJump me@one:2222,[::1]:3,two\n UserKnownHostsFile /k1 /k2\n StrictHostKeyChecking accept-new\n\
         ConnectTimeout 1m30s\n ServerAliveInterval 15\n ServerAliveCountMax 2\n LocalForward 8080 web:80\n\
         LocalForward [::1]:8081 [fe80::1]:81\n RemoteForward *:9 localhost:10\n DynamicForward 1080\n RequestTTY force\n\
         SendEnv LANG LC_*\n SetEnv A=b C=d=e\n RekeyLimit 1M\n Compression no\n BatchMode yes\n EscapeChar none\n\
         HashKnownHosts yes\n PreferredFoo x\n";
    let (settings, notes) = read("h", text);
    assert_eq!(settings.identity_files, ["~/.ssh/a", "/with space/b"]);
    let jumps = settings.proxy_jump.unwrap();
    assert_eq!((jumps[0].user.as_deref(), jumps[0].host.as_str(), jumps[0].port), (Some("me"), "one", Some(2222)));
    assert_eq!((jumps[1].host.as_str(), jumps[1].port), ("::1", Some(3)));
    assert_eq!((jumps[2].host.as_str(), jumps[2].port), ("two", None));
    assert_eq!(settings.user_known_hosts.unwrap(), ["/k1", "/k2"]);
    assert_eq!(settings.host_keys, Some(HostKeyPolicy::AcceptNew));
    assert_eq!(settings.connect_timeout, Some(Duration::from_secs(90)));
    assert_eq!(settings.local_forwards[0].to, Some(("web".to_owned(), 80)));
    assert_eq!(settings.local_forwards[1].listen.address.as_deref(), Some("::1"));
    assert_eq!(settings.local_forwards[1].to, Some(("fe80::1".to_owned(), 81)));
    assert_eq!(settings.remote_forwards[0].listen, Listen { address: Some("*".to_owned()), port: 9 });
    assert_eq!(settings.dynamic_forwards, [Listen { address: None, port: 1080 }]);
    assert_eq!(settings.request_tty, Some(Some(true)));
    assert_eq!(settings.send_env, ["LANG", "LC_*"]);
    assert_eq!(settings.set_env[1], ("C".to_owned(), "d=e".to_owned()));
    assert_eq!(settings.rekey_limit, Some(1 << 20));
    assert_eq!(settings.escape, Some(None));
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("config:23") && notes[0].contains("preferredfoo"), "{notes:?}");
}

#[test]
fn match_lines_are_judged_by_names_and_what_cannot_be_judged_is_passed_over() {
    let text = "Match user me originalhost a*\n Port 1\nMatch !host b\n User x\nMatch exec \"true\"\n Port 2\nMatch all\n Port 3\n";
    let (settings, notes) = read("ab", text);
    assert_eq!((settings.port, settings.user.as_deref()), (Some(1), Some("x")));
    assert!(notes[0].contains("exec"));
    assert_eq!(read("b", text).0.port, Some(3));
    assert_eq!(read("b", text).0.user, None);
}

#[test]
fn bad_values_are_told_with_their_place() {
    for (text, said) in [
        ("\nPort many\n", "config:2"),
        ("Port 70000", "no number"),
        ("IdentityFile \"open", "quote"),
        ("StrictHostKeyChecking perhaps", "perhaps"),
        ("LocalForward 80", "leads"),
        ("LocalForward 80 host:0", "port 0"),
        ("LocalForward 80 [::1", "bracket"),
        ("ConnectTimeout 0", "more than 0"),
        ("ConnectTimeout 99999999999999999999d", "no time"),
        ("ProxyJump a,,b", "USER"),
        ("ProxyJump -oProxyCommand=x", "USER"),
        ("BatchMode maybe", "neither"),
        ("Port", "no value"),
    ] {
        assert!(refused(text).contains(said), "{text}: {}", refused(text));
    }
    // What is for another host is not looked at.
    assert_eq!(read("h", "Host other\nPort many\n").0, Settings::default());
}

#[test]
fn included_files_are_read_in_place_and_not_for_ever() {
    let folder = std::env::temp_dir().join(format!("wharf-ssh-config-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("d")).unwrap();
    std::fs::write(folder.join("d/2.conf"), "User second\nPort 2\n").unwrap();
    std::fs::write(folder.join("d/1.conf"), "Host h\nUser first\n").unwrap();
    std::fs::write(folder.join("loop"), "Include loop\nInclude loop\n").unwrap();
    let config = folder.join("config");
    std::fs::write(&config, "Host x\nInclude d/*.conf\nHost h\nInclude d/*.conf missing\nUser third\n").unwrap();
    let mut reader = Reader::new("h", "me", None);
    reader.read(&config).unwrap();
    let (settings, _) = reader.finish();
    assert_eq!((settings.user.as_deref(), settings.port), (Some("first"), Some(2)));
    let mut reader = Reader::new("h", "me", None);
    reader.read(&folder.join("loop")).unwrap();
    let (_, notes) = reader.finish();
    assert!(!notes.is_empty() && notes.len() <= MOST_NOTES);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn no_configuration_however_mutated_panics_or_grows_without_end() {
    let text = "Host a *.b !c\n User \"x y\"\n Port 22\nMatch host a user b\n LocalForward [::1]:80 h:1\n ProxyJump u@h:1,i\n\
                ConnectTimeout 1h2m\n SetEnv A=b\n RekeyLimit 1G\n DynamicForward *:1\n IdentityFile \\\"x\\\\\n";
    for seed in 0..5000_u64 {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        let mut mutated = text.as_bytes().to_vec();
        for _ in 0..=next() % 8 {
            let at = next() % mutated.len();
            match next() % 3 {
                0 => mutated[at] = next() as u8,
                1 => mutated.insert(at, b"\"\\[]:,!*?=# \n@-"[next() % 15]),
                _ => {
                    let piece = mutated[at..(at + next() % 30).min(mutated.len())].to_vec();
                    let to = next() % mutated.len();
                    mutated.splice(to..to, piece);
                }
            }
        }
        let mut reader = Reader::new("a", "me", None);
        let _ = reader.read_text(Path::new("mutated"), &String::from_utf8_lossy(&mutated));
        let (_, notes) = reader.finish();
        assert!(notes.len() <= MOST_NOTES, "seed {seed}");
    }
}
