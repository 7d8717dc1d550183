use crate::breaker::BreakerState;

/// A server is used from now on: what is counted of its breaker is there, before it changes.
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "this counts nothing"))]
pub(crate) fn breaker_begins(backend: &'static str, endpoint: usize, state: BreakerState) {
    #[cfg(feature = "metrics")]
    {
        set(backend, endpoint, state);
        for to in [BreakerState::Closed, BreakerState::HalfOpen, BreakerState::Open] {
            count(backend, endpoint, to, 0);
        }
    }
}

#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "this counts nothing"))]
pub(crate) fn breaker_changed(backend: &'static str, endpoint: usize, to: BreakerState) {
    #[cfg(feature = "metrics")]
    {
        set(backend, endpoint, to);
        count(backend, endpoint, to, 1);
    }
}

#[cfg(feature = "metrics")]
fn set(backend: &'static str, endpoint: usize, state: BreakerState) {
    let labels = [("backend", backend.to_owned()), ("endpoint", endpoint.to_string())];
    metrics::gauge!("steadfast_breaker_state", &labels).set(f64::from(state as u8));
}

#[cfg(feature = "metrics")]
fn count(backend: &'static str, endpoint: usize, to: BreakerState, times: u64) {
    let (endpoint, to) = (endpoint.to_string(), to.name().to_owned());
    let labels = [("backend", backend.to_owned()), ("endpoint", endpoint), ("to", to)];
    metrics::counter!("steadfast_breaker_transitions_total", &labels).increment(times);
}
