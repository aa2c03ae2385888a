//! Look-ups against servers on the host's loopback that answer exactly as a test says, over hickory's own tokio
//! runtime: what stands above the sockets is under test here.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::svcb::{Alpn, SVCB, SvcParamKey, SvcParamValue};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CAA, CNAME, HTTPS, MX, NS, PTR, SOA, SRV, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record as HickoryRecord, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::super::settings::{Plan, Settings};
use super::super::{Data, Error, Kind, Origin, Upstream};
use super::Lookups;

/// What a server does with a query.
type Script = Arc<dyn Fn(&Message, Transport) -> Reply + Send + Sync>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

enum Reply {
    Silence,
    These(Vec<Message>),
}

struct Server {
    address: SocketAddr,
    queries: Arc<AtomicUsize>,
}

/// A server on UDP and TCP of one port.
async fn server(script: impl Fn(&Message, Transport) -> Reply + Send + Sync + 'static) -> Server {
    let script: Script = Arc::new(script);
    let (udp, tcp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = tcp.local_addr().unwrap();
    let queries = Arc::new(AtomicUsize::new(0));
    let (over_udp, counted) = (script.clone(), queries.clone());
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, source) = udp.recv_from(&mut buffer).await.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            let query = Message::from_vec(&buffer[..length]).unwrap();
            if let Reply::These(replies) = over_udp(&query, Transport::Udp) {
                for reply in replies {
                    udp.send_to(&reply.to_vec().unwrap(), source).await.unwrap();
                }
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let script = script.clone();
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut query = vec![0; length.into()];
                    stream.read_exact(&mut query).await.unwrap();
                    if let Reply::These(replies) = script(&Message::from_vec(&query).unwrap(), Transport::Tcp) {
                        for reply in replies {
                            let bytes = reply.to_vec().unwrap();
                            stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
                            stream.write_all(&bytes).await.unwrap();
                        }
                    }
                }
            });
        }
    });
    Server { address, queries }
}

fn lookups(servers: &[&Server], patience: Duration) -> Lookups<TokioRuntimeProvider> {
    planned(servers, &[], patience)
}

fn planned(servers: &[&Server], search: &[&str], patience: Duration) -> Lookups<TokioRuntimeProvider> {
    let servers = servers.iter().map(|server| Upstream::plain(server.address)).collect();
    let search = search.iter().map(|&domain| domain.to_owned()).collect();
    Lookups::new(TokioRuntimeProvider::default(), Settings::default(), Plan { servers, search, patience }).unwrap()
}

const PATIENCE: Duration = Duration::from_secs(20);
const LITTLE_PATIENCE: Duration = Duration::from_millis(300);

fn name(text: &str) -> Name {
    let mut name = Name::from_str(text).unwrap();
    name.set_fqdn(true);
    name
}

fn reply_to(query: &Message) -> Message {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_desired = true;
    reply.metadata.recursion_available = true;
    reply.add_queries(query.queries.clone());
    reply
}

fn with(query: &Message, answers: &[(&str, RData)]) -> Reply {
    let mut reply = reply_to(query);
    for (owner, data) in answers {
        reply.add_answer(HickoryRecord::from_rdata(name(owner), 300, data.clone()));
    }
    Reply::These(vec![reply])
}

fn with_code(query: &Message, code: ResponseCode) -> Reply {
    let mut reply = reply_to(query);
    reply.metadata.response_code = code;
    Reply::These(vec![reply])
}

fn a(address: [u8; 4]) -> RData {
    RData::A(A(address.into()))
}

fn texts(answer: &super::Answer) -> Vec<String> {
    answer.records.iter().map(|record| format!("{} {} {}", record.name, record.kind(), record.data)).collect()
}

#[tokio::test]
async fn every_kind_of_record_is_read() {
    let cases = [
        (Kind::A, a([192, 0, 2, 1]), "h.example A 192.0.2.1"),
        (Kind::Aaaa, RData::AAAA(AAAA("2001:db8::1".parse().unwrap())), "h.example AAAA 2001:db8::1"),
        (
            Kind::Caa,
            RData::CAA(CAA::new_issue(true, Some(name("ca.example")), Vec::new())),
            "h.example CAA 128 issue \"ca.example.\"",
        ),
        (
            Kind::Https,
            RData::HTTPS(HTTPS(SVCB::new(
                1,
                Name::root(),
                vec![(SvcParamKey::Alpn, SvcParamValue::Alpn(Alpn(vec!["h2".into(), "h3".into()])))],
            ))),
            "h.example HTTPS 1 . alpn=h2,h3",
        ),
        (Kind::Cname, RData::CNAME(CNAME(name("g.example"))), "h.example CNAME g.example"),
        (Kind::Mx, RData::MX(MX::new(10, name("mail.example"))), "h.example MX 10 mail.example"),
        (Kind::Ns, RData::NS(NS(name("ns.example"))), "h.example NS ns.example"),
        (Kind::Ptr, RData::PTR(PTR(name("g.example"))), "h.example PTR g.example"),
        (
            Kind::Soa,
            RData::SOA(SOA::new(name("ns.example"), name("root.example"), 1, 2, 3, 4, 5)),
            "h.example SOA ns.example root.example 1 2 3 4 5",
        ),
        (Kind::Srv, RData::SRV(SRV::new(1, 2, 443, name("g.example"))), "h.example SRV 1 2 443 g.example"),
        (Kind::Txt, RData::TXT(TXT::new(vec!["a\u{1b}[2J".into(), "b".into()])), "h.example TXT \"a\\u{1b}[2Jb\""),
    ];
    for (kind, data, expected) in cases {
        let server = server(move |query, _| with(query, &[("h.example", data.clone())])).await;
        let answer = lookups(&[&server], PATIENCE).lookup("h.example", kind).await.unwrap();
        assert_eq!(texts(&answer), [expected]);
        assert_eq!((answer.name.as_str(), answer.records[0].ttl), ("h.example", 300));
    }
}

// PITFALLS R3
#[tokio::test]
async fn aliases_are_followed_and_shown() {
    let server = server(|query, _| {
        let aliases = [("www.example", RData::CNAME(CNAME(name("h.example")))), ("h.example", a([192, 0, 2, 1]))];
        with(query, &aliases)
    })
    .await;
    let lookups = lookups(&[&server], PATIENCE);
    let answer = lookups.lookup("www.example", Kind::A).await.unwrap();
    assert_eq!(texts(&answer), ["www.example CNAME h.example", "h.example A 192.0.2.1"]);
    assert_eq!(lookups.addresses("www.example").await.unwrap(), [IpAddr::from([192, 0, 2, 1])]);
}

// PITFALLS R3
#[tokio::test]
async fn a_chain_of_aliases_without_end_is_given_up() {
    let server = server(|query, _| {
        let asked = query.queries[0].name().to_ascii();
        with(query, &[(asked.trim_end_matches('.'), RData::CNAME(CNAME(name(&format!("x{asked}")))))])
    })
    .await;
    lookups(&[&server], PATIENCE).lookup("h.example", Kind::A).await.unwrap_err();
    assert!(server.queries.load(Ordering::Relaxed) < 100);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_apart_from_one_without_such_records() {
    let server = server(|query, _| match query.queries[0].name().to_ascii().as_str() {
        "nope.example." => with_code(query, ResponseCode::NXDomain),
        _ => with(query, &[]),
    })
    .await;
    let lookups = lookups(&[&server], PATIENCE);
    let error = lookups.lookup("nope.example", Kind::A).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchName { .. }), "{error}");
    assert!(error.to_string().starts_with("DNS: the name nope.example does not exist"), "{error}");
    let error = lookups.lookup("bare.example", Kind::Mx).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchRecord { kind: Kind::Mx, .. }), "{error}");
    assert!(error.to_string().contains("has no MX record"), "{error}");
}

#[tokio::test]
async fn a_name_with_only_ipv6_addresses_is_told_as_such() {
    let server = server(|query, _| match query.queries[0].query_type() {
        RecordType::AAAA => with(query, &[("six.example", RData::AAAA(AAAA("2001:db8::1".parse().unwrap())))]),
        _ => with(query, &[]),
    })
    .await;
    let error = lookups(&[&server], PATIENCE).addresses("six.example").await.unwrap_err();
    assert!(error.to_string().contains("only IPv6 addresses"), "{error}");
}

// PITFALLS R2
#[tokio::test]
async fn a_failing_server_leads_to_the_next_at_once() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused] {
        let failing = server(move |query, _| with_code(query, code)).await;
        let good = server(|query, _| with(query, &[("h.example", a([192, 0, 2, 1]))])).await;
        let answer = lookups(&[&failing, &good], PATIENCE).lookup("h.example", Kind::A).await.unwrap();
        assert_eq!(texts(&answer), ["h.example A 192.0.2.1"]);
    }
}

// PITFALLS R2
#[tokio::test]
async fn an_unreachable_server_leads_to_the_next_at_once() {
    let gone = Server { address: "127.0.0.1:1".parse().unwrap(), queries: Arc::default() };
    let good = server(|query, _| with(query, &[("h.example", a([192, 0, 2, 1]))])).await;
    let lookups = lookups(&[&gone, &good], PATIENCE);
    assert_eq!(lookups.lookup("h.example", Kind::A).await.unwrap().origin, Origin::Server(good.address));
}

// PITFALLS R2
#[tokio::test]
async fn a_silent_server_leads_to_the_next_and_is_asked_last_from_then_on() {
    let silent = server(|_, _| Reply::Silence).await;
    let good = server(|query, _| {
        let asked = query.queries[0].name().to_ascii();
        with(query, &[(asked.trim_end_matches('.'), a([192, 0, 2, 1]))])
    })
    .await;
    let lookups = lookups(&[&silent, &good], PATIENCE);
    lookups.lookup("h.example", Kind::A).await.unwrap();
    let asked = silent.queries.load(Ordering::Relaxed);
    assert!(asked > 0);
    lookups.lookup("g.example", Kind::A).await.unwrap();
    assert_eq!(silent.queries.load(Ordering::Relaxed), asked);
}

// PITFALLS R2
#[tokio::test]
async fn a_name_denied_by_one_server_is_not_asked_of_the_next() {
    let denying = server(|query, _| with_code(query, ResponseCode::NXDomain)).await;
    let other = server(|query, _| with(query, &[("h.example", a([192, 0, 2, 1]))])).await;
    let error = lookups(&[&denying, &other], PATIENCE).lookup("h.example", Kind::A).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchName { .. }), "{error}");
    assert_eq!(other.queries.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_server_that_fails_is_told_with_its_reason() {
    let server = server(|query, _| with_code(query, ResponseCode::ServFail)).await;
    let error = lookups(&[&server], PATIENCE).lookup("h.example", Kind::A).await.unwrap_err();
    assert!(matches!(error, Error::ServerFailed { .. }) && error.to_string().contains("SERVFAIL"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_told_with_the_time_it_had() {
    let server = server(|_, _| Reply::Silence).await;
    let error = lookups(&[&server], LITTLE_PATIENCE).lookup("h.example", Kind::A).await.unwrap_err();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
    let expected = format!("DNS: no answer from the DNS server {} in 0.3 s", server.address);
    assert!(error.to_string().starts_with(&expected), "{error}");
}

// PITFALLS R3
#[tokio::test]
async fn a_truncated_answer_is_asked_again_over_tcp() {
    let server = server(|query, transport| match transport {
        Transport::Udp => {
            let mut reply = reply_to(query);
            reply.metadata.truncation = true;
            Reply::These(vec![reply])
        }
        Transport::Tcp => {
            let many: Vec<_> = (0..200).map(|n| ("h.example", a([192, 0, 2, n]))).collect();
            with(query, &many)
        }
    })
    .await;
    let answer = lookups(&[&server], PATIENCE).lookup("h.example", Kind::A).await.unwrap();
    assert_eq!(answer.records.len(), 200);
}

// PITFALLS R1
#[tokio::test]
async fn forged_answers_with_another_id_or_question_are_not_believed() {
    let server = server(|query, _| {
        let forged = |adjust: fn(&mut Message)| {
            let mut reply = reply_to(query);
            reply.add_answer(HickoryRecord::from_rdata(name("h.example"), 300, a([6, 6, 6, 6])));
            adjust(&mut reply);
            reply
        };
        let wrong_id = forged(|reply| reply.metadata.id ^= 1);
        let wrong_question = forged(|reply| {
            reply.queries[0].set_name(name("other.example"));
        });
        let nx = {
            let mut reply = reply_to(query);
            reply.metadata.id ^= 1;
            reply.metadata.response_code = ResponseCode::NXDomain;
            reply
        };
        let mut right = reply_to(query);
        right.add_answer(HickoryRecord::from_rdata(name("h.example"), 300, a([192, 0, 2, 1])));
        Reply::These(vec![nx, wrong_id, wrong_question, right])
    })
    .await;
    let answer = lookups(&[&server], PATIENCE).lookup("h.example", Kind::A).await.unwrap();
    assert_eq!(texts(&answer), ["h.example A 192.0.2.1"]);
}

// PITFALLS R1
#[tokio::test]
async fn names_are_compared_without_case() {
    let server = server(|query, _| with(query, &[("H.Example", a([192, 0, 2, 1]))])).await;
    lookups(&[&server], PATIENCE).lookup("h.eXAMPLE", Kind::A).await.unwrap();
}

// PITFALLS R4
#[tokio::test]
async fn ids_and_ports_differ_from_query_to_query() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let ids = seen.clone();
    let server = server(move |query, _| {
        ids.lock().unwrap().push(query.metadata.id);
        with_code(query, ResponseCode::NXDomain)
    })
    .await;
    let lookups = lookups(&[&server], PATIENCE);
    for n in 0..20 {
        lookups.lookup(&format!("n{n}.example"), Kind::A).await.unwrap_err();
    }
    let mut ids = seen.lock().unwrap().clone();
    assert!(!ids.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) < 4), "{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() >= 18, "{ids:?}");
}

#[tokio::test]
async fn an_answer_is_remembered_for_its_time() {
    let server = server(|query, _| with(query, &[("h.example", a([192, 0, 2, 1]))])).await;
    let lookups = lookups(&[&server], PATIENCE);
    for _ in 0..5 {
        lookups.lookup("h.example", Kind::A).await.unwrap();
    }
    assert_eq!(server.queries.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_address_is_asked_for_under_its_reverse_name() {
    let server = server(|query, _| match query.queries[0].name().to_ascii().as_str() {
        "7.2.0.192.in-addr.arpa." => with(query, &[("7.2.0.192.in-addr.arpa", RData::PTR(PTR(name("h.example"))))]),
        _ => with_code(query, ResponseCode::NXDomain),
    })
    .await;
    let answer = lookups(&[&server], PATIENCE).reverse([192, 0, 2, 7].into()).await.unwrap();
    assert_eq!(answer.records[0].data, Data::Ptr("h.example".to_owned()));
}

#[tokio::test]
async fn a_bare_name_is_completed_with_the_domain() {
    let server = server(|query, _| match query.queries[0].name().to_ascii().as_str() {
        "h.corp.example." => with(query, &[("h.corp.example", a([192, 0, 2, 1]))]),
        _ => with_code(query, ResponseCode::NXDomain),
    })
    .await;
    let lookups = planned(&[&server], &["corp.example"], PATIENCE);
    let answer = lookups.lookup("h", Kind::A).await.unwrap();
    assert_eq!(texts(&answer), ["h.corp.example A 192.0.2.1"]);
}

#[tokio::test]
async fn what_is_no_name_is_refused_without_a_query() {
    let server = server(|query, _| with_code(query, ResponseCode::NXDomain)).await;
    let lookups = lookups(&[&server], PATIENCE);
    let long = "a".repeat(64);
    for bad in ["", ".", "a..b", long.as_str()] {
        let error = lookups.lookup(bad, Kind::A).await.unwrap_err();
        assert!(matches!(error, Error::InvalidName { .. }), "{bad:?}: {error}");
    }
    assert_eq!(server.queries.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn only_a_single_label_is_completed_and_by_each_domain_in_turn() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let names = asked.clone();
    let server = server(move |query, _| {
        names.lock().unwrap().push(query.queries[0].name().to_ascii());
        with_code(query, ResponseCode::NXDomain)
    })
    .await;
    let lookups = planned(&[&server], &["one.example", "not..a.name", "two.example"], PATIENCE);
    let error = lookups.lookup("h", Kind::A).await.unwrap_err();
    assert!(error.to_string().starts_with("DNS: the name h does not exist"), "{error}");
    lookups.lookup("h.", Kind::A).await.unwrap_err();
    lookups.lookup("a.b", Kind::A).await.unwrap_err();
    assert_eq!(*asked.lock().unwrap(), ["h.one.example.", "h.two.example.", "h.", "h.", "a.b."]);
}

// PITFALLS R3
#[tokio::test]
async fn aliases_in_a_circle_are_told_as_such() {
    let server = server(|query, _| {
        let circle = [
            ("a.example", RData::CNAME(CNAME(name("b.example")))),
            ("b.example", RData::CNAME(CNAME(name("a.example")))),
        ];
        with(query, &circle)
    })
    .await;
    let error = lookups(&[&server], PATIENCE).lookup("a.example", Kind::A).await.unwrap_err();
    assert!(matches!(error, Error::AliasLoop { .. }), "{error:?}");
    assert!(error.to_string().contains("b.example leads back to a.example"), "{error}");
    assert_eq!(server.queries.load(Ordering::Relaxed), 1);
}

// PITFALLS R3
#[tokio::test]
async fn records_of_names_that_nobody_asked_for_change_nothing() {
    let server = server(|query, _| match query.queries[0].name().to_ascii().as_str() {
        "h.example." => with(
            query,
            &[("h.example", a([192, 0, 2, 1])), ("bank.example", a([6, 6, 6, 6])), ("h.example.evil", a([6, 6, 6, 6]))],
        ),
        _ => with(query, &[("bank.example", a([192, 0, 2, 2]))]),
    })
    .await;
    let lookups = lookups(&[&server], PATIENCE);
    let answer = lookups.lookup("h.example", Kind::A).await.unwrap();
    assert_eq!(texts(&answer), ["h.example A 192.0.2.1"]);
    let answer = lookups.lookup("bank.example", Kind::A).await.unwrap();
    assert_eq!(texts(&answer), ["bank.example A 192.0.2.2"]);
}

#[tokio::test]
async fn the_same_question_asked_a_hundred_times_at_once_is_sent_once() {
    let ids = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let seen = ids.clone();
    let server = server(move |query, _| {
        // A repetition after a lost datagram has the same id.
        seen.lock().unwrap().insert(query.metadata.id);
        with(query, &[("h.example", a([192, 0, 2, 1]))])
    })
    .await;
    let lookups = Arc::new(lookups(&[&server], PATIENCE));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let lookups = lookups.clone();
        all.spawn(async move { lookups.lookup("h.example", Kind::A).await.unwrap() });
    }
    assert_eq!(all.join_all().await.len(), 100);
    assert_eq!(ids.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_asker_who_goes_away_does_not_take_the_answer_from_the_others() {
    let server = server(|query, _| with(query, &[("h.example", a([192, 0, 2, 1]))])).await;
    let lookups = Arc::new(lookups(&[&server], PATIENCE));
    let asking = {
        let lookups = lookups.clone();
        tokio::spawn(async move { lookups.lookup("h.example", Kind::A).await })
    };
    let impatient = {
        let lookups = lookups.clone();
        tokio::spawn(async move { lookups.lookup("h.example", Kind::A).await })
    };
    tokio::task::yield_now().await;
    impatient.abort();
    asking.await.unwrap().unwrap();
    lookups.lookup("h.example", Kind::A).await.unwrap();
}

#[tokio::test]
async fn a_denial_with_a_soa_is_remembered() {
    let server = server(|query, _| {
        let mut reply = reply_to(query);
        reply.metadata.response_code = ResponseCode::NXDomain;
        let soa = SOA::new(name("ns.example"), name("root.example"), 1, 2, 3, 4, 60);
        reply.add_authority(HickoryRecord::from_rdata(name("example"), 60, RData::SOA(soa)));
        Reply::These(vec![reply])
    })
    .await;
    let lookups = lookups(&[&server], PATIENCE);
    for _ in 0..3 {
        let error = lookups.lookup("nope.example", Kind::A).await.unwrap_err();
        assert!(matches!(error, Error::NoSuchName { .. }), "{error}");
    }
    assert_eq!(server.queries.load(Ordering::Relaxed), 1);
}

// PITFALLS R3
#[tokio::test]
async fn an_answer_larger_than_we_take_comes_over_tcp() {
    let server = server(|query, transport| {
        // Far more than the 1232 bytes that our EDNS option allows, sent in one datagram all the same.
        let many: Vec<_> = (0..120).map(|n| ("h.example", a([192, 0, 2, n]))).collect();
        match transport {
            Transport::Udp => with(query, &many),
            Transport::Tcp => with(query, &[many, vec![("h.example", a([192, 0, 2, 200]))]].concat()),
        }
    })
    .await;
    let answer = lookups(&[&server], PATIENCE).lookup("h.example", Kind::A).await.unwrap();
    assert_eq!(answer.records.len(), 121);
}

#[tokio::test]
async fn a_table_of_hosts_answers_first_and_only_for_its_names() {
    let server = server(|query, _| with_code(query, ResponseCode::NXDomain)).await;
    let settings = Settings {
        hosts: Some(super::super::Hosts::parse("192.0.2.9 printer printer.example")),
        ..Settings::default()
    };
    let plan = Plan { servers: vec![Upstream::plain(server.address)], search: Vec::new(), patience: PATIENCE };
    let lookups = Lookups::new(TokioRuntimeProvider::default(), settings, plan).unwrap();
    assert_eq!(lookups.addresses("Printer.example").await.unwrap(), [IpAddr::from([192, 0, 2, 9])]);
    let answer = lookups.reverse([192, 0, 2, 9].into()).await.unwrap();
    assert_eq!((answer.origin, texts(&answer).len()), (Origin::Hosts, 2));
    assert_eq!(server.queries.load(Ordering::Relaxed), 0);
    lookups.lookup("scanner.example", Kind::A).await.unwrap_err();
    assert_eq!(server.queries.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_observer_is_told_of_each_exchange() {
    let server = server(|query, transport| match transport {
        Transport::Udp => {
            let mut reply = reply_to(query);
            reply.metadata.truncation = true;
            Reply::These(vec![reply])
        }
        Transport::Tcp => with(query, &[("h.example", a([192, 0, 2, 1]))]),
    })
    .await;
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let telling = told.clone();
    let settings = Settings {
        observer: Some(Arc::new(move |exchange: &super::super::Exchange| {
            telling
                .lock()
                .unwrap()
                .push(format!("{} {} {} {}", exchange.transport, exchange.name, exchange.kind, exchange.outcome));
        })),
        ..Settings::default()
    };
    let plan = Plan { servers: vec![Upstream::plain(server.address)], search: Vec::new(), patience: PATIENCE };
    let lookups = Lookups::new(TokioRuntimeProvider::default(), settings, plan).unwrap();
    lookups.lookup("h.example", Kind::A).await.unwrap();
    assert_eq!(*told.lock().unwrap(), ["UDP h.example A truncated", "TCP h.example A NOERROR, 1 record"]);
}

#[tokio::test]
async fn a_server_that_refuses_the_connection_is_told_as_such_at_once() {
    // A port that was ours a moment ago, and is nobody's now.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let settings = Settings { servers: Some(vec![Upstream::tls(port, None)]), ..Settings::default() };
    let plan = Plan { servers: vec![Upstream::tls(port, None)], search: Vec::new(), patience: PATIENCE };
    let lookups = Lookups::new(TokioRuntimeProvider::default(), settings, plan).unwrap();
    let error = lookups.lookup("h.example", Kind::A).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("nothing listens on its port {}", port.port())), "{error}");
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again() {
    let seen = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let server = server(move |query, _| match seen.lock().unwrap().insert(query.metadata.id) {
        true => Reply::Silence,
        false => with(query, &[("h.example", a([192, 0, 2, 1]))]),
    })
    .await;
    let answer = lookups(&[&server], PATIENCE).lookup("h.example", Kind::A).await.unwrap();
    assert_eq!(texts(&answer), ["h.example A 192.0.2.1"]);
    assert!(server.queries.load(Ordering::Relaxed) >= 2);
}
