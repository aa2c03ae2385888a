//! What is read from `Alt-Svc`, and how long it is believed.

use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};

use super::{Alternative, Alternatives, BROKEN, LONGEST, MAX_AGE, Said, read};

fn fields(value: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("alt-svc", HeaderValue::from_static(value));
    headers
}

fn at(host: &str, port: u16) -> Alternative {
    Alternative { host: host.to_owned(), port }
}

#[test]
fn the_first_alternative_of_http_3_is_read() {
    let found = |host: &str, port, age| Said::Http3(at(host, port), Duration::from_secs(age));
    let day = MAX_AGE.as_secs();
    assert_eq!(read("h3=\":443\"", "h"), found("h", 443, day));
    assert_eq!(read("h3=\":443\"; ma=60", "h"), found("h", 443, 60));
    assert_eq!(read("h2=\":1\", h3=\"other:8443\";ma=5;persist=1, h3=\":2\"", "h"), found("other", 8443, 5));
    assert_eq!(read("h3-29=\":443\", x=\"a,b;c\" , h3=\"[2001:db8::1]:9\"", "h"), found("2001:db8::1", 9, day));
    assert_eq!(read("clear", "h"), Said::Clear);
    for nothing in
        ["", "h3", "h3=", "h3=\"\"", "h3=\":0\"", "h3=\":70000\"", "h3=\"host\"", "\"", "h2=\":443\"", ",;,=;="]
    {
        assert_eq!(read(nothing, "h"), Said::Nothing, "{nothing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_alternative_is_believed_as_long_as_it_says_and_not_for_ever() {
    let known = Alternatives::default();
    let origin = ("h".to_owned(), 443);
    known.learn(&origin, &fields("h3=\":443\"; ma=60"));
    assert_eq!(known.find(&origin), Some(at("h", 443)));
    assert_eq!(known.find(&("h".to_owned(), 444)), None);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(known.find(&origin), None);

    known.learn(&origin, &fields("h3=\":443\"; ma=99999999999999"));
    tokio::time::sleep(LONGEST + Duration::from_secs(1)).await;
    assert_eq!(known.find(&origin), None);

    known.learn(&origin, &fields("h3=\":443\""));
    known.learn(&origin, &fields("clear"));
    assert_eq!(known.find(&origin), None);
}

#[tokio::test(start_paused = true)]
async fn one_that_failed_is_left_alone_longer_each_time_until_it_works() {
    let known = Alternatives::default();
    let origin = ("h".to_owned(), 443);
    known.learn(&origin, &fields("h3=\":443\""));
    for wait in [BROKEN, BROKEN * 2, BROKEN * 4] {
        known.failed(&origin);
        known.learn(&origin, &fields("h3=\":443\""));
        tokio::time::sleep(wait - Duration::from_secs(1)).await;
        assert_eq!(known.find(&origin), None);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(known.find(&origin).is_some());
    }
    known.worked(&origin);
    known.failed(&origin);
    tokio::time::sleep(BROKEN).await;
    assert!(known.find(&origin).is_some());
    // Another place may work at once.
    known.failed(&origin);
    known.learn(&origin, &fields("h3=\":8443\""));
    assert_eq!(known.find(&origin), Some(at("h", 8443)));
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded() {
    let known = Alternatives::default();
    for number in 0..5000 {
        known.learn(&(format!("h{number}"), 443), &fields("h3=\":443\""));
    }
    assert!(known.origins.lock().unwrap().len() <= super::MAX_ORIGINS);
}
