//! `--tries`: a download that failed for the moment is begun again, or with `-c` gone on with. `mod` has each fetched
//! by [`fetched`].

use std::time::{Duration, Instant};

use wharf::http::{HeaderMap, Request, StatusCode, Timeouts};

use super::fetch::{Shared, fetch};
use crate::exit::{Failure, Passing};

/// The longest that is waited between two tries unless the server says otherwise; GNU wget's `--waitretry`.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The longest that a server can make us wait. One that wants more is not waited for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Fetches `request`, as often as `--tries` allows.
pub(super) async fn fetched(shared: &Shared, request: Request) -> Result<(), Failure> {
    let begun = Instant::now();
    let tries = shared.args.tries;
    let mut attempt: u32 = 1;
    let mut client = shared.client.clone();
    loop {
        let failure = match fetch(shared, &client, request.clone()).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let left = shared.args.max_time.map(|most| most.saturating_sub(begun.elapsed()));
        // RFC 9110 section 9.2.2: what may be done twice is not repeated without knowing that it was not done.
        let again = if request.is_idempotent() { failure.passing } else { None };
        let Some(wait) = again.and_then(|passing| pause(passing, attempt, tries)) else { return Err(failure) };
        if left.is_some_and(|left| left <= wait) {
            return Err(failure);
        }
        let of = if tries == 0 { String::new() } else { format!(" of {tries}") };
        let next = attempt.saturating_add(1);
        shared.remark(format!("wharf wget: {failure}; begun again in {} s, try {next}{of}", wait.as_secs()));
        tokio::time::sleep(wait).await;
        attempt = next;
        // `--max-time` is for all tries together.
        if let Some(left) = left {
            let timeouts = Timeouts { whole: Some(left.saturating_sub(wait)), ..shared.timeouts };
            client = client.with_timeouts(timeouts);
        }
    }
}

/// How long to wait before the attempt after number `attempt`; `None` if there is none.
fn pause(passing: Passing, attempt: u32, tries: u32) -> Option<Duration> {
    if tries != 0 && attempt >= tries {
        return None;
    }
    let usual = Duration::from_secs(attempt.into()).min(LONGEST_WAIT);
    match passing.after {
        Some(after) if after > LONGEST_RETRY_AFTER => None,
        Some(after) => Some(after.max(usual)),
        None => Some(usual),
    }
}

/// Whether a response of this status may be another one soon, as curl's `--retry` has it, and when.
pub(super) fn of_status(status: StatusCode, headers: &HeaderMap) -> Option<Passing> {
    let passes = matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504);
    // RFC 9110 section 10.2.3: a number of seconds. A date is left to the usual pause: whose clock is right?
    let after = headers.get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    passes.then_some(Passing { after: after.map(Duration::from_secs) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wharf::http::{HeaderMap, HeaderValue, StatusCode};

    use super::{of_status, pause};
    use crate::exit::Passing;

    #[test]
    fn pauses_grow_to_ten_seconds_and_tries_have_an_end() {
        let passing = Passing { after: None };
        let pauses: Vec<_> = (1..=12).filter_map(|attempt| Some(pause(passing, attempt, 0)?.as_secs())).collect();
        assert_eq!(pauses, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]);
        assert_eq!(pause(passing, 2, 3), Some(Duration::from_secs(2)));
        assert_eq!(pause(passing, 3, 3), None);
        assert_eq!(pause(passing, 1, 1), None);
    }

    #[test]
    fn a_server_may_ask_for_a_longer_pause_but_not_for_ever() {
        let asked = |seconds| pause(Passing { after: Some(Duration::from_secs(seconds)) }, 2, 9);
        assert_eq!(asked(0), Some(Duration::from_secs(2)));
        assert_eq!(asked(60), Some(Duration::from_secs(60)));
        assert_eq!(asked(301), None);
    }

    #[test]
    fn statuses_of_the_moment_are_told_from_those_that_last() {
        let mut headers = HeaderMap::new();
        assert_eq!(of_status(StatusCode::NOT_FOUND, &headers), None);
        assert_eq!(of_status(StatusCode::NOT_IMPLEMENTED, &headers), None);
        assert_eq!(of_status(StatusCode::BAD_GATEWAY, &headers), Some(Passing { after: None }));
        headers.insert("retry-after", HeaderValue::from_static("7"));
        let after = Some(Duration::from_secs(7));
        assert_eq!(of_status(StatusCode::SERVICE_UNAVAILABLE, &headers), Some(Passing { after }));
        headers.insert("retry-after", HeaderValue::from_static("Wed, 21 Oct 2026 07:28:00 GMT"));
        assert_eq!(of_status(StatusCode::TOO_MANY_REQUESTS, &headers), Some(Passing { after: None }));
    }
}
