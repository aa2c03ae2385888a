//! The race of a name's addresses, in virtual time and with attempts that do as they are told.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{AT_ONCE, Lost, interleaved, race};

const PATIENCE: Duration = Duration::from_secs(10);

/// What becomes of an attempt.
#[derive(Clone, Copy)]
enum Fate {
    Connects(u64),
    Fails(u64),
    Silence,
}

fn v4(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn v6(last: u16) -> IpAddr {
    IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])
}

/// What came of it, when, and when each attempt began, both in milliseconds.
type Run = (Result<(IpAddr, ()), Lost<&'static str>>, u64, Vec<(IpAddr, u64)>);

async fn run(plan: &[(IpAddr, Fate)], patience: Duration) -> Run {
    let begun = Instant::now();
    let started = RefCell::new(Vec::new());
    let milliseconds = || u64::try_from(begun.elapsed().as_millis()).unwrap();
    let addresses: Vec<IpAddr> = plan.iter().map(|(address, _)| *address).collect();
    let attempt = |address| {
        started.borrow_mut().push((address, milliseconds()));
        let fate = plan.iter().find(|(known, _)| *known == address).unwrap().1;
        async move {
            match fate {
                Fate::Connects(after) => {
                    sleep(Duration::from_millis(after)).await;
                    Ok(())
                }
                Fate::Fails(after) => {
                    sleep(Duration::from_millis(after)).await;
                    Err("refused")
                }
                Fate::Silence => std::future::pending().await,
            }
        }
    };
    let won = race(&addresses, patience, attempt).await;
    let took = milliseconds();
    (won, took, started.into_inner())
}

#[tokio::test(start_paused = true)]
async fn an_address_that_answers_in_time_is_the_only_one_tried() {
    let (won, _, started) = run(&[(v4(1), Fate::Connects(200)), (v4(2), Fate::Connects(1))], PATIENCE).await;
    assert_eq!(won, Ok((v4(1), ())));
    assert_eq!(started, [(v4(1), 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_address_costs_a_quarter_of_a_second() {
    let (won, took, started) = run(&[(v4(1), Fate::Silence), (v4(2), Fate::Connects(30))], PATIENCE).await;
    assert_eq!(won, Ok((v4(2), ())));
    assert_eq!(started, [(v4(1), 0), (v4(2), 250)]);
    assert_eq!(took, 280);
}

#[tokio::test(start_paused = true)]
async fn a_slow_address_may_still_win() {
    let (won, took, _) = run(&[(v4(1), Fate::Connects(300)), (v4(2), Fate::Connects(500))], PATIENCE).await;
    assert_eq!((won, took), (Ok((v4(1), ())), 300));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_leads_to_the_next_at_once() {
    let plan = [(v4(1), Fate::Fails(5)), (v4(2), Fate::Fails(5)), (v4(3), Fate::Connects(5))];
    let (won, took, started) = run(&plan, PATIENCE).await;
    assert_eq!((won, took), (Ok((v4(3), ())), 15));
    assert_eq!(started, [(v4(1), 0), (v4(2), 5), (v4(3), 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_wait_for_a_silent_one_beside_it() {
    let plan = [(v4(1), Fate::Silence), (v4(2), Fate::Fails(10)), (v4(3), Fate::Connects(10))];
    let (won, took, _) = run(&plan, PATIENCE).await;
    assert_eq!((won, took), (Ok((v4(3), ())), 270));
}

#[tokio::test(start_paused = true)]
async fn ipv6_and_ipv4_take_turns() {
    let addresses = [v6(1), v6(2), v6(3), v4(1), v4(2)];
    assert_eq!(interleaved(&addresses), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
    assert_eq!(interleaved(&[v4(1), v6(1), v6(2)]), [v4(1), v6(1), v6(2)]);
    // A network whose IPv6 leads nowhere: the first IPv4 address has its turn before the second of IPv6.
    let plan = [(v6(1), Fate::Silence), (v6(2), Fate::Silence), (v4(1), Fate::Connects(20))];
    let (won, took, _) = run(&plan, PATIENCE).await;
    assert_eq!((won, took), (Ok((v4(1), ())), 270));
}

#[tokio::test(start_paused = true)]
async fn when_none_answers_the_last_one_is_told_and_patience_is_for_all_together() {
    let (lost, took, started) = run(&[(v4(1), Fate::Fails(5)), (v4(2), Fate::Silence)], PATIENCE).await;
    assert_eq!((lost, took), (Err(Some((v4(2), None))), 10_000));
    assert_eq!(started.len(), 2);
    let (lost, took, _) = run(&[(v4(1), Fate::Silence), (v4(2), Fate::Fails(5))], PATIENCE).await;
    assert_eq!((lost, took), (Err(Some((v4(2), Some("refused")))), 10_000));
    let (lost, took, _) = run(&[(v4(1), Fate::Fails(5)), (v4(2), Fate::Fails(5))], PATIENCE).await;
    assert_eq!((lost, took), (Err(Some((v4(2), Some("refused")))), 10));
    let (lost, _, _) = run(&[], PATIENCE).await;
    assert_eq!(lost, Err(None));
}

#[tokio::test(start_paused = true)]
async fn with_little_patience_the_addresses_follow_faster() {
    let plan = [(v4(1), Fate::Silence), (v4(2), Fate::Silence), (v4(3), Fate::Connects(20))];
    let (won, _, started) = run(&plan, Duration::from_millis(360)).await;
    assert_eq!(won, Ok((v4(3), ())));
    assert_eq!(started, [(v4(1), 0), (v4(2), 120), (v4(3), 240)]);
}

#[tokio::test(start_paused = true)]
async fn a_name_of_a_hundred_silent_addresses_has_eight_under_way() {
    let plan: Vec<(IpAddr, Fate)> = (0..100).map(|last| (v4(last), Fate::Silence)).collect();
    let (lost, took, started) = run(&plan, Duration::from_secs(60)).await;
    assert!(lost.is_err());
    assert_eq!((took, started.len()), (60_000, AT_ONCE));
}

#[tokio::test(start_paused = true)]
async fn attempts_that_are_not_needed_are_dropped() {
    struct Noted<'a>(&'a RefCell<usize>);
    impl Drop for Noted<'_> {
        fn drop(&mut self) {
            *self.0.borrow_mut() += 1;
        }
    }
    let dropped = RefCell::new(0);
    let attempt = |address: IpAddr| {
        let noted = Noted(&dropped);
        async move {
            let _noted = noted;
            if address == v4(2) { Ok::<_, ()>(()) } else { std::future::pending().await }
        }
    };
    race(&[v4(1), v4(2)], PATIENCE, attempt).await.unwrap();
    assert_eq!(dropped.into_inner(), 2);
}
