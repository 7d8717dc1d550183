use std::time::Duration;

use steadfast_backend::{Error, Health, Result};
use tokio::time::{Instant, timeout_at};

use crate::admin::{Admin, Stats};
use crate::error;
use crate::server::Server;

/// What one server says of its state.
pub(crate) struct State {
    address: String,
    stats: Stats,
}

/// A round trip over a connection of its own, so that it waits for nothing else.
pub(crate) async fn ask(server: &Server, deadline: Instant) -> Result<State> {
    let opened = timeout_at(deadline, Admin::open(&server.address, server.timeout)).await;
    let address = server.address.clone();
    match opened.unwrap_or_else(|_| Err(error::no_answer())) {
        Ok(found) => Ok(State { address, stats: found.stats }),
        Err(error) => {
            let detail = format!("the server {address} does not answer: {error}");
            Err(Error::new(error.kind(), detail).caused_by(error))
        }
    }
}

pub(crate) fn sum(states: &[State], latency: Duration) -> Health {
    let total = |names: &[&str]| {
        let numbers = states
            .iter()
            .flat_map(|state| names.iter().filter_map(|name| state.stats.number(name)));
        Some(numbers.sum())
    };
    Health {
        latency,
        entries: total(&["curr_items"]),
        used_bytes: total(&["bytes"]),
        limit_bytes: total(&["limit_maxbytes"]),
        evicted: total(&["evictions"]),
        // Found dead by a read, by a write that needed the room, and by the server's own sweep.
        expired: total(&["get_expired", "reclaimed", "crawler_reclaimed"]),
        replication: None,
        warnings: states.iter().flat_map(warnings).collect(),
    }
}

fn warnings(state: &State) -> Vec<String> {
    let State { address, stats } = state;
    let count = |name| stats.number(name).filter(|count| *count > 0);
    let evicted = count("evictions").map(|count| {
        format!("{address} has dropped {count} live entries to make room; raise its memory (-m)")
    });
    let rejected = count("rejected_connections").map(|count| {
        format!("{address} has turned away {count} connections; raise its limit (-c)")
    });
    evicted.into_iter().chain(rejected).collect()
}
