use poem::Response;
use poem::http::{HeaderName, HeaderValue};

use crate::store::Freshness;
use crate::token::whole_seconds;

const STATE_FRESHNESS: HeaderName = HeaderName::from_static("state-freshness");

/// Says in an answer that it was made from what is older than it should be, because the store is
/// out: `State-Freshness: stale; age=SECONDS`, rounded up. Of several ages the greatest stays.
pub fn mark_stale(mut response: Response, freshness: Freshness) -> Response {
    let said = response.data::<Freshness>().map_or_else(Default::default, |said| said.age());
    if !freshness.is_stale() || freshness.age() < said {
        return response;
    }
    let seconds = whole_seconds(freshness.age());
    if let Ok(value) = HeaderValue::try_from(format!("stale; age={seconds}")) {
        response.headers_mut().insert(STATE_FRESHNESS, value);
        response.set_data(freshness);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::StaleReason;

    #[test]
    fn the_greatest_age_is_told_and_a_fresh_answer_says_nothing() {
        let stale = |age_ms| Freshness::Stale {
            age: Duration::from_millis(age_ms),
            reason: StaleReason::Outage,
        };
        let told = |ages: &[Freshness]| {
            let response =
                ages.iter().fold(Response::default(), |response, age| mark_stale(response, *age));
            response.header("state-freshness").map(str::to_owned)
        };
        assert_eq!(told(&[Freshness::Fresh]), None);
        assert_eq!(told(&[Freshness::Cached { age: Duration::from_secs(1) }]), None);
        assert_eq!(told(&[stale(1_001), stale(500)]).as_deref(), Some("stale; age=2"));
        assert_eq!(told(&[stale(500), stale(1_001)]).as_deref(), Some("stale; age=2"));
        assert_eq!(told(&[stale(0)]).as_deref(), Some("stale; age=0"));
    }
}
