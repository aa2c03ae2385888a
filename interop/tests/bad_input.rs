//! Peers that mean harm or know no better, as a command meets them: its own message, a status, and nothing left under the
//! final name. What needs more than a script is with its protocol: `failures`, `wget`, `http_cache`, `sftp`, `dns`, `tls`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use wharf_interop::dns::{Answers, Question, Scripted as Liar};
use wharf_interop::{Finished, Line, Scripted, in_namespace};

use crate::site::Site;

/// `wharf wget` of a server that says `script` fails with `status` and `words`, and leaves nothing.
fn refused(site: &Site<'_>, script: &[Line], options: &[&str], status: i32, words: &[&str]) {
    let server = Scripted::start(site.tap.address, vec![script.to_vec()]);
    let url = format!("http://{}/file", server.address);
    let run = site.wget(&[&url]).arguments(options).run().failed_saying(words);
    assert_eq!(run.status.code(), Some(status), "{run}");
    assert_eq!(site.names().len(), 0, "something was left behind: {run}");
}

fn heard_and_said(text: &str) -> Vec<Line> {
    vec![Line::Hear, Line::Say(text.to_owned())]
}

#[test]
fn a_body_longer_than_promised_is_told_whether_the_connection_stays_or_ends_and_is_not_gone_on_with() {
    in_namespace(|world| {
        let site = Site::new(world);
        for connection in ["keep-alive", "close"] {
            for options in [&[][..], &["-c"]] {
                let head =
                    format!("HTTP/1.1 200 OK\r\nETag: \"a\"\r\nConnection: {connection}\r\nContent-Length: 5\r\n\r\n");
                let script = heard_and_said(&format!("{head}hello, and more"));
                refused(&site, &script, options, 7, &["more than the 5 bytes"]);
            }
        }
    });
}

#[test]
fn heads_and_trailers_without_end_are_cut_off() {
    in_namespace(|world| {
        let site = Site::new(world);
        let head = "HTTP/1.1 200 OK\r\n";
        for (begin, again, word) in [
            (head.to_owned(), "X-More: 1\r\n", "larger than is taken"),
            (format!("{head}X-Long: "), "more and more and ", "larger than is taken"),
            (String::new(), "HTTP/1.1 103 Early Hints\r\n\r\n", "interim responses"),
            (format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\n"), "X-More: 1\r\n", "cut short"),
        ] {
            let script = [heard_and_said(&begin), vec![Line::SayForEver(again.to_owned())]].concat();
            refused(&site, &script, &[], 7, &[word]);
        }
    });
}

#[test]
fn redirects_that_lead_back_are_given_up() {
    in_namespace(|world| {
        let site = Site::new(world);
        let script =
            heard_and_said("HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /file?\r\nContent-Length: 0\r\n\r\n");
        refused(&site, &script, &[], 7, &["redirect"]);
    });
}

#[test]
fn a_server_that_stops_half_way_is_told_with_how_much_came() {
    in_namespace(|world| {
        let site = Site::new(world);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
        refused(&site, &heard_and_said(head), &[], 7, &["4 of 10 bytes came"]);
        let held = [heard_and_said(head), vec![Line::Hold]].concat();
        refused(&site, &held, &["--timeout", "1"], 4, &["4 of 10 bytes came, then nothing"]);
    });
}

/// `wharf nslookup` of `name` at a server that answers so.
fn looked_up(site: &Site<'_>, name: &str, answer: impl Fn(&Question) -> Answers + Send + 'static) -> Finished {
    let _server = Liar::start(site.tap.address, answer);
    site.wharf(&["nslookup", name, "A"]).run()
}

#[test]
fn a_forged_answer_is_not_believed_and_the_right_one_is_taken_after_it() {
    in_namespace(|world| {
        let site = Site::new(world);
        let run = looked_up(&site, "www.example", |question| {
            let forged = question.addresses(&[&question.name], [6, 6, 6, 6]);
            let (mut other_id, mut other_question) = (forged.clone(), forged.clone());
            other_id[1] ^= 1;
            other_question[13] ^= 1;
            // Of another port it is another's.
            let right = question.addresses(&[&question.name, "bank.example"], [192, 0, 2, 5]);
            vec![(other_id, None), (other_question, None), (forged.clone(), Some(5353)), (right, None)]
        });
        let run = run.succeeded();
        assert!(run.stdout.contains("192.0.2.5") && !run.stdout.contains("6.6.6.6"), "{run}");
        assert!(!run.stdout.contains("bank"), "{run}");
    });
}

#[test]
fn an_answer_larger_than_was_asked_for_or_than_it_says_is_told() {
    in_namespace(|world| {
        let site = Site::new(world);
        let tcp = TcpListener::bind((site.tap.address, 53)).unwrap();
        thread::spawn(move || {
            for mut stream in tcp.incoming().map_while(Result::ok) {
                let mut length = [0; 2];
                let _ = stream.read_exact(&mut length);
                let mut query = vec![0; u16::from_be_bytes(length).into()];
                let _ = stream.read_exact(&mut query);
                // As long as a message can be, and none.
                let _ = stream.write_all(&[&[0xff; 2][..], &query[..2], &[0xff; 0xffff - 2]].concat());
            }
        });
        // Far more than the 1232 bytes that we say we take.
        let run = looked_up(&site, "www.example", |question| {
            vec![(question.addresses(&[question.name.as_str(); 250], [192, 0, 2, 5]), None)]
        });
        let run = run.failed_saying(&["10.9.0.1"]);
        assert_eq!(run.status.code(), Some(4), "{run}");
        assert!(!run.stdout.contains("192.0.2.5"), "{run}");
    });
}

#[test]
fn aliases_that_lead_back_are_given_up() {
    in_namespace(|world| {
        let site = Site::new(world);
        let (one, two) = ("one.example", "two.example");
        let run = looked_up(&site, one, move |question| {
            let to = if question.name == one { two } else { one };
            vec![(question.alias(&question.name, to), None)]
        });
        assert_eq!(run.failed_saying(&["one.example", "lead nowhere"]).status.code(), Some(4));
    });
}
