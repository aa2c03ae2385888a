//! What a client remembers, and for how long; whom a server's cookie is for.

use core::net::Ipv4Addr;

use super::*;

fn server(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(n))
}

fn cookie() -> Option<FastOpenCookie> {
    FastOpenCookie::new(&[1; 8])
}

fn carries_cookie(cookies: &mut Cookies, now: Instant, n: u32) -> bool {
    cookies.offer(now, server(n)).is_some_and(|offer| offer.option != FastOpen::Request)
}

#[test]
fn the_least_recently_used_server_is_forgotten_first() {
    let now = Instant::from_secs(1);
    let mut cookies = Cookies::new(100);
    for n in 0..100 {
        cookies.learn(server(n), cookie(), 1_460, true);
    }
    assert!(carries_cookie(&mut cookies, now, 0), "used again");
    for n in 100..150 {
        cookies.learn(server(n), cookie(), 1_460, true);
    }
    assert_eq!((cookies.servers.len(), cookies.by_use.len()), (100, 100));
    assert!(carries_cookie(&mut cookies, now, 0));
    assert!((1..=50).all(|n| !carries_cookie(&mut cookies, now, n)));
    assert!((51..150).all(|n| carries_cookie(&mut cookies, now, n)));
}

#[test]
fn a_destination_where_text_was_lost_is_distrusted_twice_as_long_each_time() {
    let mut cookies = Cookies::new(10);
    let mut now = Instant::from_secs(1);
    cookies.learn(server(1), cookie(), 1_460, true);
    for hours in [1, 2, 4, 8, 16, 32, 64, 64] {
        cookies.distrust(now, server(1));
        assert!(cookies.offer(now + DISTRUST * hours - Duration::from_nanos(1), server(1)).is_none(), "{hours}");
        now += DISTRUST * hours;
        assert!(carries_cookie(&mut cookies, now, 1), "{hours}");
    }
    cookies.learn(server(1), None, 1_460, true);
    cookies.distrust(now, server(1));
    assert!(carries_cookie(&mut cookies, now + DISTRUST, 1), "what worked meanwhile counts");
}

#[test]
fn a_cookie_is_for_one_address_and_holds_for_half_a_day_to_a_whole_one() {
    let mut baker = Baker::new(Entropy::new([2; 32]));
    let flow = |remote| Flow { local: server(9), remote: server(remote), local_port: 80, remote_port: 5 };
    let begun = Instant::from_secs(43_200 * 3 + 600);
    let cookie = baker.bake(begun, &flow(1)).expect("eight bytes");
    assert!(baker.is_good(begun, &Flow { remote_port: 6, ..flow(1) }, &cookie), "whatever the port");
    assert!(!baker.is_good(begun, &flow(2), &cookie));
    assert!(!baker.is_old(&flow(1), &cookie));
    let next = begun + PERIOD;
    assert!(baker.is_good(next, &flow(1), &cookie) && baker.is_old(&flow(1), &cookie));
    assert!(!baker.is_good(next + PERIOD, &flow(1), &cookie));
}
