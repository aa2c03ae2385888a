//! The cache by itself, with a clock of the test's own.

use std::str::FromStr;
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::Cache;

fn query(name: &str) -> Query {
    Query::query(Name::from_str(name).unwrap(), RecordType::A)
}

fn positive(name: &str, ttl: u32) -> Message {
    let mut message = Message::response(0, OpCode::Query);
    message.add_answer(Record::from_rdata(Name::from_str(name).unwrap(), ttl, RData::A(A([192, 0, 2, 1].into()))));
    message
}

fn negative(ttl: u32, minimum: u32) -> Message {
    let mut message = Message::response(0, OpCode::Query);
    message.metadata.response_code = ResponseCode::NXDomain;
    let zone = Name::from_str("example.").unwrap();
    let soa = SOA::new(zone.clone(), zone.clone(), 1, 2, 3, 4, minimum);
    message.add_authority(Record::from_rdata(zone, ttl, RData::SOA(soa)));
    message
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_answer_is_kept_for_its_time_and_grows_old() {
    let (cache, now) = (Cache::new(10), Instant::now());
    cache.store(query("h.example."), &positive("h.example.", 60), now);
    assert_eq!(cache.find(&query("h.example."), now + 20 * SECOND).unwrap().answers[0].ttl, 40);
    assert!(cache.find(&query("h.example."), now + 60 * SECOND).is_none());
}

#[test]
fn a_name_is_found_in_any_case_of_letters() {
    let (cache, now) = (Cache::new(10), Instant::now());
    cache.store(query("h.example."), &positive("h.example.", 60), now);
    assert!(cache.find(&query("H.eXample."), now).is_some());
}

// RFC 2308 section 5.
#[test]
fn a_denial_is_kept_for_the_lesser_of_the_soas_times() {
    for (ttl, minimum, kept) in [(100, 30, 30), (30, 100, 30), (1_000_000, 1_000_000, 3 * 3600)] {
        let (cache, now) = (Cache::new(10), Instant::now());
        cache.store(query("no.example."), &negative(ttl, minimum), now);
        assert!(cache.find(&query("no.example."), now + (kept - 1) * SECOND).is_some(), "{ttl} {minimum}");
        assert!(cache.find(&query("no.example."), now + kept * SECOND).is_none(), "{ttl} {minimum}");
    }
}

#[test]
fn what_says_nothing_of_its_time_or_failed_is_not_kept() {
    let (cache, now) = (Cache::new(10), Instant::now());
    let mut failed = positive("h.example.", 60);
    failed.metadata.response_code = ResponseCode::ServFail;
    let bare = Message::response(0, OpCode::Query);
    for message in [positive("h.example.", 0), positive("h.example.", u32::MAX), bare, failed] {
        cache.store(query("h.example."), &message, now);
        assert!(cache.find(&query("h.example."), now).is_none());
    }
}

#[test]
fn a_flood_of_names_stays_within_the_bound_and_drops_what_ends_first() {
    let (cache, now) = (Cache::new(100), Instant::now());
    cache.store(query("long.example."), &positive("long.example.", 80_000), now);
    for n in 0..10_000 {
        let name = format!("n{n}.example.");
        cache.store(query(&name), &positive(&name, 60 + n % 7), now);
        assert!(cache.len() <= 100);
    }
    assert!(cache.find(&query("long.example."), now).is_some());
    assert!(cache.find(&query("n9999.example."), now).is_some());
}
